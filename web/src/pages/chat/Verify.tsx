/** Checks an answer's receipt in the browser and says line by line what was found. */
import { useMutation } from "@tanstack/react-query";
import type { Hex } from "viem";
import { readReserve } from "../../api/reserve";
import { useChain } from "../../chain/client";
import { readParents } from "../../chain/model";
import { saveFile } from "../../lib/save";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { ErrorState, Loading } from "../../ui/states";
import { Badge } from "../../ui/values";
import type { Disclosure, Proof, ReceiptJson } from "../../verify";
import { type Check, type CheckState, summary, verifyAnswer } from "./checks";
import { evidenceFile, evidenceName } from "./evidence";
import { fetchBundle, readOnChain } from "./queries";
import type { Evidence } from "./tree";

const STATES: Record<CheckState, { tone: "accent" | "danger" | "warn"; word: string }> = {
  ok: { tone: "accent", word: "holds" },
  failed: { tone: "danger", word: "fails" },
  open: { tone: "warn", word: "not yet" },
};

interface Verified {
  checks: readonly Check[];
  /** The evidence as a file. */
  file: string;
}

export function Verify({
  evidence,
  question,
  answer,
}: {
  evidence: Evidence;
  question: string;
  answer: string;
}) {
  const info = useChain();
  const verify = useMutation({
    mutationFn: async (): Promise<Verified> => {
      const receipt = evidence.receipt as ReceiptJson;
      const [bundle, chain, reserve, parents] = await Promise.all([
        fetchBundle(evidence.receipt_hash),
        readOnChain(info, receipt),
        readReserve(receipt),
        readParents(info, receipt),
      ]);
      const { inclusion, channel, voucher, payouts } = bundle;
      const checks = await verifyAnswer({
        receipt,
        hash: evidence.receipt_hash as Hex,
        shownAnswer: answer,
        shownQuestion: question,
        disclosure: evidence.disclosure as Disclosure,
        payouts: evidence.attribution.payouts,
        paid: payouts ?? null,
        paidBy: { reserve, parents },
        inclusion: inclusion
          ? { receiptsRoot: inclusion.receiptsRoot as Hex, proof: inclusion.proof as Proof<Hex> }
          : null,
        payment: channel && voucher ? { channel, voucher } : null,
        operator: info.operator,
        hub: info.hub,
        chain,
      });
      return { checks, file: evidenceFile(bundle, evidence.disclosure as Disclosure) };
    },
  });
  return (
    <div className="mt-2 grid gap-2 text-sm">
      <Button
        size="sm"
        className="w-fit"
        isPending={verify.isPending}
        pendingLabel="Verifying …"
        onPress={() => verify.mutate()}
      >
        {verify.data ? "Verify again" : "Verify"}
      </Button>
      {verify.isPending && <Loading label="Reading the receipt's proof and the chain …" className="py-1" />}
      {verify.error && <ErrorState error={verify.error} what="The check" retry={() => verify.mutate()} />}
      {verify.data && (
        <Checks
          {...verify.data}
          name={evidenceName(evidence.receipt_hash)}
          rpc={info.chain.rpcUrls.default.http[0]}
        />
      )}
    </div>
  );
}

function Checks({ checks, file, name, rpc }: Verified & { name: string; rpc: string | undefined }) {
  const { state, text } = summary(checks);
  return (
    <div className="grid gap-2 rounded-md border border-line bg-paper px-4 py-3">
      <p role="status" className={cx("font-medium", state === "failed" && "text-danger")}>
        {text}
      </p>
      <ul className="grid gap-2">
        {checks.map((check) => (
          <li key={check.title} className="grid gap-x-3 sm:grid-cols-[10rem_4.5rem_1fr]">
            <span className="font-medium">{check.title}</span>
            <span>
              <Badge tone={STATES[check.state].tone}>{STATES[check.state].word}</Badge>
            </span>
            <span className="text-muted">{check.detail}</span>
          </li>
        ))}
      </ul>
      <div className="max-w-prose text-muted">
        <p>
          Computed in this browser from the receipt, its proof and the chain as {rpc ?? "the node"} tells it.
          Not checked here: that the model wrote this answer and that the weights are right. Whoever has model
          and index can replay both bit for bit, with the question and the answer from you:
        </p>
        <code className="mt-1 mb-2 block font-mono text-xs break-all">
          openledger receipt verify --replay {name}
        </code>
        <Button size="sm" onPress={() => saveFile(name, file, "application/json")}>
          Save the evidence
        </Button>{" "}
        It holds the question and the answer in the clear.
      </div>
    </div>
  );
}
