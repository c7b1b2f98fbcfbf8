/** Checks a claim in the browser before anyone signs it. */
import { type Address, type Hex, isAddressEqual } from "viem";
import type { Place } from "../../chain/typed-data";
import { claimLeaf, type SumNode, verifySumProof } from "../../verify/merkle";
import type { ClaimView } from "./queries";

/** What the hub on chain has. */
export interface HubState {
  claimed: bigint;
  lastFinal: bigint;
  balanceRoot: Hex;
  totalBalance: bigint;
  accountCount: bigint;
}

export type CheckedClaim =
  /** Nothing was ever credited by a final epoch. */
  | { kind: "none" }
  /** Everything credited was taken out. */
  | { kind: "all-claimed"; cumulative: bigint }
  /** Node and chain are at different epochs; a moment later they are not. */
  | { kind: "behind" }
  /** The node's proof does not hold under the chain's root. */
  | { kind: "wrong"; reason: string }
  | { kind: "ready"; amount: bigint; args: readonly [Address, bigint, bigint, readonly SumNode[]] };

/** Largest credit that the hub can hold. */
const CUMULATIVE_MAX = 2n ** 128n - 1n;

/** What can be claimed, and the hub's arguments for it, if the node's proof holds under the root on chain. */
export function checkClaim(claim: ClaimView, account: Address, place: Place, hub: HubState): CheckedClaim {
  const { proof, epoch } = claim;
  if (BigInt(epoch) !== hub.lastFinal) return { kind: "behind" };
  if (epoch === 0 || proof === null) return { kind: "none" };
  const cumulative = BigInt(proof.cumulative);
  if (!isAddressEqual(proof.account, account))
    return { kind: "wrong", reason: "The proof is for another account." };
  if (cumulative > CUMULATIVE_MAX)
    return { kind: "wrong", reason: "The amount is larger than the hub can hold." };
  if (BigInt(proof.size) !== hub.accountCount) {
    return {
      kind: "wrong",
      reason: "The proof is for a tree with another number of accounts than the chain has.",
    };
  }
  const siblings = proof.siblings.map(({ hash, sum }) => ({ hash, sum: BigInt(sum) }));
  const root = { hash: hub.balanceRoot, sum: hub.totalBalance };
  const leaf = claimLeaf(place.chainId, place.contract, account, cumulative);
  if (!verifySumProof({ index: proof.index, size: proof.size, siblings }, root, leaf)) {
    return { kind: "wrong", reason: "The proof does not lead to the root on chain." };
  }
  if (cumulative <= hub.claimed) return { kind: "all-claimed", cumulative };
  const args = [account, cumulative, BigInt(proof.index), siblings] as const;
  return { kind: "ready", amount: cumulative - hub.claimed, args };
}
