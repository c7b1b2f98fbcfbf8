import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Hex } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../../api/client";
import { keys } from "../../../api/keys";
import { datanetRegistryAbi } from "../../../chain/abis";
import { type ChainInfo, useChain } from "../../../chain/client";
import { consentMessage } from "../../../chain/typed-data";
import { count, formatInteger } from "../../../lib/format";
import { Button } from "../../../ui/Button";
import { cx } from "../../../ui/classes";
import { ErrorState, Loading, Notice } from "../../../ui/states";
import { Badge, Hash } from "../../../ui/values";
import { Declined } from "../../../wallet/approval";
import { useSend, useSignTypedData } from "../../../wallet/send";
import { licencePoints } from "../licence";
import type { DatanetDetail, PreparedBatch } from "../queries";
import {
  checkBatch,
  nextStep,
  type OnChainCommitment,
  STEP_TEXTS,
  STEPS,
  type Step,
  stepState,
} from "./steps";
import { type Contribution, changeContribution, contribution as kept } from "./stored";

const commitmentQuery = ({ client, chain, contracts }: ChainInfo, commitment: Hex) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "commitment", commitment],
    queryFn: async (): Promise<OnChainCommitment> => {
      const { priority, revealed } = await readContract(client, {
        address: contracts.datanetRegistry,
        abi: datanetRegistryAbi,
        functionName: "getCommitment",
        args: [commitment],
      });
      return { priority: Number(priority), revealed };
    },
  });

interface StepsProps {
  contribution: Contribution;
  datanet: DatanetDetail;
}

/** Commit, agree, reveal, accept: one button; each step is shown, and none is done twice. */
export function Steps({ contribution, datanet }: StepsProps) {
  const { batch } = contribution;
  if (batch === null) return null;
  return <StepList contribution={contribution} datanet={datanet} batch={batch} />;
}

function StepList({ contribution, datanet, batch }: StepsProps & { batch: PreparedBatch }) {
  const info = useChain();
  const onChain = useQuery(commitmentQuery(info, batch.commitment));
  const [underWay, setUnderWay] = useState<Step | null>(null);
  const run = useRun(contribution.upload, datanet, setUnderWay);
  const next = underWay ?? nextStep(contribution, onChain.data ?? null);
  if (onChain.isPending) return <Loading label="Asking the chain how far this batch is …" />;
  const begun = next !== "commit";
  const declined = run.error instanceof Declined;
  return (
    <div className="grid gap-4">
      <p className="text-sm">
        {count(batch.record_count, "record")} under one fingerprint:{" "}
        <Hash value={batch.batch_root} what="batch root" />
      </p>
      <ol aria-label="Steps" className="grid gap-2.5">
        {STEPS.map((step, index) => (
          <StepRow
            key={step}
            number={index + 1}
            step={step}
            state={stepState(step, next)}
            busy={run.isPending && step === next}
          />
        ))}
      </ol>
      {onChain.error && (
        <ErrorState error={onChain.error} retry={() => void onChain.refetch()} what="The chain" />
      )}
      {declined && (
        <Notice tone="warn">
          You declined, so this step was not done. Nothing is lost: go on when you like.
        </Notice>
      )}
      {run.error && !declined && (
        <ErrorState error={run.error} what={next === "done" ? "Failed" : STEP_TEXTS[next].title} />
      )}
      <div className="flex flex-wrap items-center gap-3">
        <Button
          tone="primary"
          isDisabled={onChain.data === undefined}
          isPending={run.isPending}
          pendingLabel={next === "done" ? "Finishing …" : `${STEP_TEXTS[next].title} …`}
          onPress={() => run.mutate()}
        >
          {run.error ? "Try again" : begun ? "Go on" : "Contribute"}
        </Button>
        <p className="text-sm text-muted">
          {begun ? "Goes on where it stopped." : "Asks you three times: two transactions and a signature."}{" "}
          You may close this page meanwhile.
        </p>
      </div>
    </div>
  );
}

function StepRow(props: { number: number; step: Step; state: "done" | "now" | "todo"; busy: boolean }) {
  const { number, step, state, busy } = props;
  const { title, explained } = STEP_TEXTS[step];
  return (
    <li aria-current={state === "now" ? "step" : undefined} className="flex gap-3 text-sm">
      <span
        aria-hidden="true"
        className={cx(
          "grid size-6 shrink-0 place-items-center rounded-full border text-xs font-medium",
          state === "done" && "border-accent bg-accent text-on-accent",
          state === "now" && "border-accent text-accent",
          state === "todo" && "border-line text-muted",
        )}
      >
        {state === "done" ? "✓" : number}
      </span>
      <div className={cx("min-w-0", state === "todo" && "text-muted")}>
        <p className="font-medium">
          {title} {state === "done" && <Badge tone="accent">done</Badge>}
          {busy && <Badge>under way</Badge>}
        </p>
        <p className="text-muted">{explained}</p>
      </div>
    </li>
  );
}

/** Goes through the steps that are left, asking the chain first what is done already. */
function useRun(upload: Hex, datanet: DatanetDetail, setUnderWay: (step: Step | null) => void) {
  const info = useChain();
  const cache = useQueryClient();
  const commit = useCommit();
  const agree = useConsent(datanet);
  const reveal = useReveal();
  const ask = (commitment: Hex) => cache.fetchQuery({ ...commitmentQuery(info, commitment), staleTime: 0 });

  const go = async () => {
    const found = kept(upload);
    const batch = found?.batch;
    if (found == null || batch == null) throw new Error("This browser no longer knows the batch.");
    const onChain = await readContract(info.client, {
      address: info.contracts.datanetRegistry,
      abi: datanetRegistryAbi,
      functionName: "getDatanet",
      args: [BigInt(datanet.id)],
    });
    const { contributor } = found;
    const { licenceHash } = onChain;
    checkBatch(batch, { datanet: datanet.id, contributor, licenceHash, registry: info.registry });
    if ((await ask(batch.commitment)).priority === 0) {
      setUnderWay("commit");
      await commit(batch);
    }
    setUnderWay("consent");
    const consent = kept(upload)?.consent ?? (await agree(batch));
    changeContribution(upload, { consent });
    if (!(await ask(batch.commitment)).revealed) {
      setUnderWay("reveal");
      await reveal(batch, consent);
    }
    setUnderWay("accept");
    const accepted = await body(
      api.POST("/v1/batches/{commitment}/revealed", {
        params: { path: { commitment: batch.commitment } },
        body: { consent },
      }),
    );
    changeContribution(upload, { result: accepted.report });
  };
  return useMutation({
    mutationFn: go,
    onSettled: async () => {
      setUnderWay(null);
      await Promise.all(
        [keys.datanets, keys.records, keys.accounts].map((queryKey) => cache.invalidateQueries({ queryKey })),
      );
    },
  });
}

function useCommit() {
  const send = useSend();
  const { contracts } = useChain();
  return (batch: PreparedBatch) =>
    send({
      title: "Commit the batch",
      what: "Puts the fingerprint of your records on chain. It takes your place in the order: later copies of them are not accepted. Nobody can read them from it.",
      address: contracts.datanetRegistry,
      abi: datanetRegistryAbi,
      functionName: "commit",
      args: [BigInt(batch.datanet), batch.commitment],
      fields: [
        ["Datanet", String(batch.datanet)],
        ["Records", formatInteger(batch.record_count)],
        ["Fingerprint", <Hash key="commitment" value={batch.commitment} what="commitment" />],
      ],
    });
}

function useConsent(datanet: DatanetDetail) {
  const sign = useSignTypedData();
  const { registry } = useChain();
  return (batch: PreparedBatch) => {
    const message = {
      datanetId: BigInt(batch.datanet),
      licenceHash: batch.licence_hash,
      batchRoot: batch.batch_root,
      recordCount: batch.record_count,
      contributor: batch.contributor,
    };
    const { message: consent, ...frame } = consentMessage(message, registry);
    return sign(
      { ...frame, message: { ...consent } },
      {
        title: "Agree to the licence",
        what: `You agree that these ${count(batch.record_count, "record")} may be used under the licence of “${datanet.name}”, and say that they are yours to give. The signature goes on chain with the next step.`,
        cost: "Nothing",
        where: "off chain",
        fields: [
          ["Datanet", `${datanet.id}: ${datanet.name}`],
          ["Records", formatInteger(batch.record_count)],
          [
            "Licence",
            <ul key="licence" className="list-disc pl-4">
              {licencePoints(datanet.terms).map(({ text }) => (
                <li key={text}>{text}</li>
              ))}
            </ul>,
          ],
          ["Licence hash", <Hash key="hash" value={batch.licence_hash} what="licence hash" />],
          ["Batch root", <Hash key="root" value={batch.batch_root} what="batch root" />],
          ["Contributor", <Hash key="by" value={batch.contributor} what="address" />],
        ],
        confirm: "Agree and sign",
      },
    );
  };
}

function useReveal() {
  const send = useSend();
  const { contracts } = useChain();
  return (batch: PreparedBatch, consent: Hex) =>
    send({
      title: "Reveal the batch",
      what: "Opens the fingerprint on chain, with your consent. From then on the records stand under your account, and everyone who looks at the Datanet on this node can read them.",
      address: contracts.datanetRegistry,
      abi: datanetRegistryAbi,
      functionName: "reveal",
      args: [
        BigInt(batch.datanet),
        batch.contributor,
        batch.batch_root,
        batch.record_count,
        batch.salt,
        consent,
      ],
      fields: [
        ["Datanet", String(batch.datanet)],
        ["Records", formatInteger(batch.record_count)],
        ["Batch root", <Hash key="root" value={batch.batch_root} what="batch root" />],
      ],
    });
}
