/** The way of a batch from the file to accepted records: where it stands, and what must hold before anyone signs. */
import { type Address, type Hex, isAddressEqual } from "viem";
import { commitmentHash, consentDigest, type Place } from "../../../chain/typed-data";
import type { PreparedBatch, StoredBatch } from "../queries";
import type { Contribution } from "./stored";

/** A commitment as the registry has it. */
export interface OnChainCommitment {
  /** Its place in the order; 0 for never committed. */
  priority: number;
  revealed: boolean;
}

export const STEPS = ["prepare", "commit", "consent", "reveal", "accept"] as const;
export type Step = (typeof STEPS)[number];

export const STEP_TEXTS: Record<Step, { title: string; explained: string }> = {
  prepare: { title: "Prepare", explained: "The node makes a batch of your records and its fingerprint." },
  commit: {
    title: "Commit",
    explained:
      "The fingerprint goes on chain. It takes your place in the order, and shows nothing of the records.",
  },
  consent: {
    title: "Agree to the licence",
    explained: "You sign the licence for exactly these records. Free.",
  },
  reveal: {
    title: "Reveal",
    explained: "Fingerprint and consent are opened on chain: from now on they are yours.",
  },
  accept: {
    title: "Accept",
    explained: "The node compares each record with earlier ones, and accepts what is new.",
  },
};

/** The next step, or `done`. */
export function nextStep(
  { batch, consent, result }: Pick<Contribution, "batch" | "consent" | "result">,
  chain: OnChainCommitment | null,
): Step | "done" {
  if (result !== null) return "done";
  if (batch === null) return "prepare";
  if (chain === null || chain.priority === 0) return "commit";
  if (consent === null) return "consent";
  return chain.revealed ? "accept" : "reveal";
}

export type StepState = "done" | "now" | "todo";

export function stepState(step: Step, next: Step | "done"): StepState {
  if (next === "done") return "done";
  const [at, now] = [STEPS.indexOf(step), STEPS.indexOf(next)];
  return at < now ? "done" : at === now ? "now" : "todo";
}

/** What the node prepared does not fit what it was asked for. */
export class Mismatch extends Error {
  override name = "Mismatch";
}

/**
 * Checks a batch before it is signed: its numbers must be those of this Datanet, this account and the licence that
 * the chain has, and its commitment must be the hash of them.
 */
export function checkBatch(
  batch: PreparedBatch,
  wanted: { datanet: number; contributor: string; licenceHash: Hex; registry: Place },
): void {
  const { datanet, contributor, licenceHash, registry } = wanted;
  const named = {
    datanetId: BigInt(batch.datanet),
    contributor: batch.contributor,
    batchRoot: batch.batch_root,
    recordCount: batch.record_count,
  };
  const differs = (one: string, other: string) => one.toLowerCase() !== other.toLowerCase();
  if (batch.datanet !== datanet)
    throw new Mismatch("The node prepared the batch for another Datanet; nothing was signed.");
  if (!isAddressEqual(batch.contributor, contributor as Address)) {
    throw new Mismatch("The node prepared the batch for another account; nothing was signed.");
  }
  if (differs(batch.licence_hash, licenceHash)) {
    throw new Mismatch("The node asks for another licence than the chain has; nothing was signed.");
  }
  if (differs(batch.commitment, commitmentHash({ ...named, salt: batch.salt }, registry))) {
    throw new Mismatch("The node's commitment is not that of the batch; nothing was signed.");
  }
  if (differs(batch.consent_digest, consentDigest({ ...named, licenceHash }, registry))) {
    throw new Mismatch("The node asks for another signature than the batch needs; nothing was signed.");
  }
}

/** What this browser keeps of a batch that another program made; throws for one that is somebody else's. */
export function resumed(
  { state: _, priority: __, ...batch }: StoredBatch,
  here: { chain: number; datanet: number; address: Address },
): Omit<Contribution, "version" | "addedAt"> {
  if (batch.datanet !== here.datanet) {
    throw new Error(`This batch belongs to Datanet ${batch.datanet}; go on with it there.`);
  }
  if (!isAddressEqual(batch.contributor, here.address)) {
    throw new Error(`This batch was made for ${batch.contributor}; switch to that account to go on with it.`);
  }
  return {
    // The file is not here; the commitment names the contribution as well as its upload would.
    upload: batch.commitment,
    chain: here.chain,
    datanet: here.datanet,
    contributor: batch.contributor,
    fileName: `batch ${batch.commitment.slice(0, 10)}`,
    bytes: 0,
    uploaded: true,
    sent: 0,
    format: null,
    columns: [],
    mapping: null,
    batch,
    file: null,
    consent: null,
    result: null,
  };
}
