/** Publishes what a job made: the builder signs a transaction, then the node serves the model. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../api/keys";
import { type Model, modelsQuery } from "../../api/queries";
import { modelRegistryAbi } from "../../chain/abis";
import { useChain } from "../../chain/client";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { Card } from "../../ui/Page";
import { ErrorState, Loading, Notice } from "../../ui/states";
import { AccountName, Facts, Hash, Wei } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { useSend } from "../../wallet/send";
import { useWallet } from "../../wallet/wallet";
import { feeText } from "../models/price";
import { DataLinks, ParentIds, SignInNotice } from "./parts";
import {
  draftQuery,
  type Job,
  type ModelDraft,
  publishArgs,
  registeredQuery,
  useForbidden,
  useServe,
} from "./queries";

/** Bytes of a name that the registry takes. */
const NAME_BYTES_MAX = 128;
const MILLION = 1_000_000n;

/** A model is published once: by whom and with what program does not matter. */
export function Publish({ job }: { job: Job }) {
  return job.models.length > 0 ? <Published models={job.models} /> : <ToPublish job={job} />;
}

function Published({ models }: { models: Job["models"] }) {
  const { account } = useWallet();
  return (
    <Card title="Published" intro="Every paid answer pays the contributors of its data and its builder.">
      <div className="grid gap-3">
        {models.map(({ id, name, builder }) => (
          <Notice
            key={id}
            title={`Published and served as ${name}`}
            action={
              <>
                <LinkButton to={`/chat/${encodeURIComponent(name)}`} tone="primary" size="sm">
                  Ask it something
                </LinkButton>
                <LinkButton to={`/models/${encodeURIComponent(name)}`} size="sm">
                  Its page
                </LinkButton>
              </>
            }
          >
            Its builder is <AccountName value={builder} you={account?.address ?? null} copy={false} />.
          </Notice>
        ))}
      </div>
    </Card>
  );
}

function ToPublish({ job }: { job: Job }) {
  const [name, setName] = useState(job.name);
  const forbidden = useForbidden(job);
  const { account } = useWallet();
  const bytes = new TextEncoder().encode(name.trim()).length;
  const problem =
    bytes === 0 ? "A name is needed" : bytes > NAME_BYTES_MAX ? `At most ${NAME_BYTES_MAX} bytes` : null;
  const draft = useQuery(draftQuery(job.id, problem === null ? name.trim() : ""));
  const weights = draft.data?.weights_hash.toLowerCase();
  // Whoever published it, here or by the command line: the same weights are the same model.
  const served = useQuery(modelsQuery).data?.find(
    ({ openledger }) => weights !== undefined && openledger.weights_hash?.toLowerCase() === weights,
  );
  if (draft.data && served) {
    return (
      <Card title="Published" intro="It is on chain, and this node serves it.">
        <div className="grid gap-4">
          <Served model={served} />
          <Terms draft={draft.data} job={job} builder={served.owned_by} />
        </div>
      </Card>
    );
  }
  return (
    <Card
      title="Publish it"
      intro="Puts the model on chain with its lineage, its price and the split of its fees, and has this node serve it. From then on every paid answer pays you and the contributors of the data."
    >
      <div className="grid gap-4">
        {draft.error && !draft.data && (
          <ErrorState error={draft.error} what="The model" retry={() => draft.refetch()} />
        )}
        {draft.isLoading && <Loading label="Reading what the job made …" />}
        <TextField
          label="Name"
          description="Under this name it is asked for. It cannot be changed later."
          value={name}
          onChange={setName}
          error={problem}
        />
        {draft.data && <Terms draft={draft.data} job={job} />}
        {forbidden ? (
          <>
            <Notice tone="warn">{forbidden}</Notice>
            <SignInNotice why="Sign in with the account that owns this job." />
          </>
        ) : account === null ? (
          <Notice
            tone="warn"
            action={
              <LinkButton to="/account" size="sm">
                Connect an account
              </LinkButton>
            }
          >
            The account that publishes becomes the model's builder and earns the builder's part.
          </Notice>
        ) : (
          draft.data &&
          problem === null && (
            <Act job={job} draft={draft.data} name={name.trim()} stale={draft.isPlaceholderData} />
          )
        )}
      </div>
    </Card>
  );
}

function Served({ model: { id } }: { model: Model }) {
  return (
    <Notice
      title={`Published and served as ${id}`}
      action={
        <>
          <LinkButton to={`/chat/${encodeURIComponent(id)}`} tone="primary" size="sm">
            Ask it something
          </LinkButton>
          <LinkButton to={`/models/${encodeURIComponent(id)}`} size="sm">
            Its page
          </LinkButton>
        </>
      }
    >
      Every paid answer now pays the contributors of its data.
    </Notice>
  );
}

function Terms({ draft, job, builder }: { draft: ModelDraft; job: Job; builder?: string }) {
  const { account } = useWallet();
  const { price, split } = draft;
  return (
    <Facts
      rows={[
        [
          "Price",
          <span key="price">
            <Wei value={BigInt(price.input_wei) * MILLION} /> for a million tokens in,{" "}
            <Wei value={BigInt(price.output_wei) * MILLION} /> for a million out
          </span>,
        ],
        ["Each fee goes", feeText(split, builder === undefined ? "you" : "its builder")],
        ...(draft.parents.length === 0
          ? []
          : [["Parents", <ParentIds key="parents" parents={draft.parents} />] as const]),
        ...(builder === undefined
          ? []
          : [["Builder", <AccountName key="builder" value={builder} you={account?.address} />] as const]),
        ["Trained on", <DataLinks key="data" snapshots={job.recipe.snapshots} />],
        ["Manifest", <Hash key="manifest" value={draft.manifest_hash} what="manifest hash" />],
      ]}
    />
  );
}

function Act({ job, draft, name, stale }: { job: Job; draft: ModelDraft; name: string; stale: boolean }) {
  const info = useChain();
  const { account } = useWallet();
  const send = useSend();
  const serve = useServe(job.id);
  const cache = useQueryClient();
  const builder = account?.address;
  const registered = useQuery(registeredQuery(info, builder, draft.manifest_hash));
  const publish = useMutation({
    mutationFn: async () => {
      if (builder === undefined) return;
      if (!registered.data) {
        await send({
          title: `Publish ${name}`,
          what: "Enters the model into the registry: its weights and indexes by hash, the data it was trained on, its price and the split of its fees. None of it can be changed later.",
          address: info.contracts.modelRegistry,
          abi: modelRegistryAbi,
          functionName: "publish",
          args: [publishArgs(draft)],
          fields: [
            ["Name", name],
            ["A million tokens in", <Wei key="in" value={BigInt(draft.price.input_wei) * MILLION} />],
            ["A million tokens out", <Wei key="out" value={BigInt(draft.price.output_wei) * MILLION} />],
            ["Each fee goes", feeText(draft.split, "you")],
          ],
          confirm: "Publish",
        });
      }
      await serve.mutateAsync({ name: registered.data?.name ?? name, builder });
    },
    onSettled: () => cache.invalidateQueries({ queryKey: keys.chain }),
  });
  if (registered.error && registered.data === undefined) {
    return <ErrorState error={registered.error} what="The registry" retry={() => registered.refetch()} />;
  }
  if (registered.data === undefined) return <Loading label="Asking the registry …" />;
  const onChain = registered.data;
  return (
    <div className="grid gap-3">
      {onChain && (
        <Notice title={`It is on chain as ${onChain.name}`}>
          Only this node's part is missing: it checks what is on chain and then serves the model. Nothing is
          signed for that.
        </Notice>
      )}
      <Button
        tone="primary"
        className="w-fit"
        isDisabled={stale}
        isPending={publish.isPending}
        pendingLabel={serve.isPending ? "The node loads the model …" : "Publishing …"}
        onPress={() => publish.mutate()}
      >
        {onChain ? "Serve it" : "Publish and serve"}
      </Button>
      {publish.error && !(publish.error instanceof Declined) && (
        <>
          <ErrorState error={publish.error} what="Publishing" retry={() => publish.mutate()} />
          {/snapshot/i.test(publish.error.message) && (
            <p className="text-sm">
              A snapshot must be on chain first. Its Datanet's owner publishes it on the Datanet's page:
              <DataLinks snapshots={job.recipe.snapshots} />
            </p>
          )}
        </>
      )}
    </div>
  );
}
