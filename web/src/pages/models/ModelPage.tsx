import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { modelsQuery, statusQuery } from "../../api/queries";
import { formatInteger, formatPercent } from "../../lib/format";
import { LinkButton } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, Loading, Notice, QueryView } from "../../ui/states";
import { AccountName, Badge, CopyButton, Facts, Hash, Stat, StatRow, Time, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { Lineage } from "./Lineage";
import { links } from "./links";
import { accuracy, comparison, type Manifest, readManifest, type Score } from "./manifest";
import { cost, EXAMPLE, percent, perThousand, splitParts, tokensText } from "./price";
import { adaptersQuery, type ModelDetail, modelQuery } from "./queries";

const BACK = { to: "/models", label: "Models" };

/** One model: what made it, what it costs, how good it is, who serves it. */
export function ModelPage() {
  const { name = "" } = useParams();
  const models = useQuery(modelsQuery);
  const listed = models.data?.find((model) => model.id === name);
  if (models.isPending && !models.error) {
    return (
      <Page title={name} back={BACK}>
        <Loading label="Reading the models …" />
      </Page>
    );
  }
  if (listed !== undefined && listed.parent === null) {
    return <BaseModel name={name} hash={listed.openledger.base_model} />;
  }
  return <Published key={name} name={name} />;
}

function BaseModel({ name, hash }: { name: string; hash: string | undefined }) {
  return (
    <Page
      title={name}
      back={BACK}
      intro="This is the base model: everything published here is an adapter on top of it."
      actions={
        <LinkButton to={links.chat(name)} tone="primary">
          Chat with it
        </LinkButton>
      }
    >
      <Card title="Base model">
        <Facts
          rows={[
            ["Price", "Free: it earns nobody anything, and gives no receipt."],
            [
              "Hash",
              hash === undefined ? (
                "—"
              ) : (
                <Hash key="hash" value={hash} what="hash of the base model" short={false} />
              ),
            ],
          ]}
        />
      </Card>
    </Page>
  );
}

function Published({ name }: { name: string }) {
  const query = useQuery(modelQuery(name));
  return (
    <Page
      title={name}
      heading={<span className="break-all">{name}</span>}
      back={BACK}
      intro="An adapter on the base model, trained on the Datanets below. Whoever asks it pays its price, and the fee is split among those who made the answer possible."
      actions={
        query.data && (
          <LinkButton to={links.chat(name)} tone="primary">
            Chat with it
          </LinkButton>
        )
      }
    >
      <QueryView query={query} loading="Reading the model" what={`Model ${name}`}>
        {(model) => <Details model={model} />}
      </QueryView>
    </Page>
  );
}

/** Contributors took records back after the training: the model still knows them. */
function Stale({ records }: { records: number }) {
  const [what, were] = records === 1 ? ["record", "was"] : ["records", "were"];
  return (
    <Notice tone="warn" title="This model is stale">
      {formatInteger(records)} {what} that it was trained on {were} taken back by their contributors since. A
      model trained on the newest snapshot is free of them.
    </Notice>
  );
}

function Details({ model }: { model: ModelDetail }) {
  const { account } = useWallet();
  const status = useQuery(statusQuery);
  const manifest = readManifest(model.manifest);
  const base = status.data?.base_model.name ?? "base model";
  return (
    <>
      {model.revoked_records > 0 && <Stale records={model.revoked_records} />}
      <Card>
        <StatRow>
          <Stat label="Answers paid for">{formatInteger(model.answers)}</Stat>
          <Stat label="Income">
            <Wei value={model.income_wei} />
          </Stat>
          <Stat label="Builder">
            <span className="text-sm font-normal">
              <AccountName value={model.builder} you={account?.address} />
            </span>
          </Stat>
          <Stat label="Published">
            <Time seconds={model.published_at} />
          </Stat>
        </StatRow>
      </Card>
      <Lineage model={model} manifest={manifest} base={base} />
      <Columns>
        <PriceCard model={model} />
        <SplitCard model={model} />
      </Columns>
      <Columns>
        <EvaluationCard manifest={manifest} />
        <OperatorsCard name={model.name} />
      </Columns>
      <ManifestCard model={model} manifest={manifest} />
    </>
  );
}

function PriceCard({ model }: { model: ModelDetail }) {
  const { tokensIn, tokensOut } = EXAMPLE;
  return (
    <Card
      title="Price"
      intro="A token is about three quarters of a word. You pay for what you send and for what you get."
    >
      <Facts
        rows={[
          ["1,000 tokens in", <Wei key="in" value={perThousand(model.price.input_wei)} />],
          ["1,000 tokens out", <Wei key="out" value={perThousand(model.price.output_wei)} />],
          [
            "For example",
            <span key="example">
              <Wei value={cost(model.price, tokensIn, tokensOut)} /> for {tokensText(tokensIn, tokensOut)}: a
              question of a few sentences, an answer of a few paragraphs
            </span>,
          ],
        ]}
      />
    </Card>
  );
}

function SplitCard({ model }: { model: ModelDetail }) {
  const { tokensIn, tokensOut } = EXAMPLE;
  const example = cost(model.price, tokensIn, tokensOut);
  const parts = splitParts(model.split).filter((part) => part.bps > 0);
  return (
    <Card
      title="Who is paid"
      intro="How each fee is split. The model registry on chain holds these parts; nobody can change them later."
    >
      <table className="w-full text-sm">
        <caption className="sr-only">
          Split of a fee, and of the example of {tokensText(tokensIn, tokensOut)}
        </caption>
        <thead className="text-xs text-muted">
          <tr>
            <th scope="col" className="pb-1 text-left font-medium">
              Who
            </th>
            <th scope="col" className="pb-1 text-right font-medium">
              Part
            </th>
            <th scope="col" className="pb-1 pl-3 text-right font-medium">
              Of the example
            </th>
          </tr>
        </thead>
        <tbody>
          {parts.map(({ name, why, bps }) => (
            <tr key={name} className="border-t border-line align-top">
              <th scope="row" className="py-1 pr-3 text-left font-normal">
                {name} <span className="block text-xs text-muted">{why}</span>
              </th>
              <td className="py-1 text-right whitespace-nowrap">{percent(bps)}</td>
              <td className="py-1 pl-3 text-right">
                <Wei value={(example * BigInt(Math.round(bps))) / 10_000n} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

function EvaluationCard({ manifest: { base, tuned } }: { manifest: Manifest }) {
  return (
    <Card title="Evaluation" intro={comparison(base, tuned)}>
      {base === null || tuned === null ? (
        <Empty title="Nothing was measured">
          The builder trained on every record and kept none aside. Ask the model something to judge it
          yourself.
        </Empty>
      ) : (
        <ScoreTable base={base} tuned={tuned} />
      )}
    </Card>
  );
}

function ScoreTable({ base, tuned }: { base: Score; tuned: Score }) {
  const share = (score: Score) => {
    const part = accuracy(score);
    return part === null ? "—" : `${formatPercent(part, 1)} (${score.exact} of ${score.answers})`;
  };
  const rows: [string, string, string][] = [
    ["Exact answers, higher is better", share(base), share(tuned)],
    ["Loss per token, lower is better", base.loss.toFixed(3), tuned.loss.toFixed(3)],
    ["Held-out records", formatInteger(base.records), formatInteger(tuned.records)],
  ];
  return (
    <table className="w-full text-sm">
      <caption className="sr-only">Base and tuned model on the same held-out records</caption>
      <thead className="text-xs text-muted">
        <tr>
          <th scope="col" className="pb-1 text-left font-medium">
            Measure
          </th>
          <th scope="col" className="pb-1 text-right font-medium">
            Base
          </th>
          <th scope="col" className="pb-1 pl-3 text-right font-medium">
            Tuned
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, before, after]) => (
          <tr key={name} className="border-t border-line">
            <th scope="row" className="py-1 pr-3 text-left font-normal">
              {name}
            </th>
            <td className="py-1 text-right">{before}</td>
            <td className="py-1 pl-3 text-right font-medium">{after}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const STATES: Record<string, string> = {
  registered: "on disk, read when first asked",
  loading: "being read",
  cached: "in memory, answers at once",
  running: "answering right now",
};

function OperatorsCard({ name }: { name: string }) {
  const status = useQuery(statusQuery);
  const adapters = useQuery(adaptersQuery);
  return (
    <Card
      title="Operators"
      intro="Who runs this model. The operator signs a receipt for each answer and backs it with a bond."
    >
      <QueryView query={status} loading="Reading the operator" what="Operator">
        {({ operator }) => {
          const state = adapters.data?.find((adapter) => adapter.id === name)?.state;
          return (
            <Facts
              rows={[
                ["Operator", <AccountName key="operator" value={operator} />],
                [
                  "Here it is",
                  state === undefined ? (
                    "—"
                  ) : (
                    <span key="state">
                      <Badge tone="accent">{state}</Badge> {STATES[state] ?? ""}
                    </span>
                  ),
                ],
              ]}
            />
          );
        }}
      </QueryView>
    </Card>
  );
}

const orDash = (value: number | null) => (value === null ? "—" : formatInteger(value));

function ManifestCard({ model, manifest }: { model: ModelDetail; manifest: Manifest }) {
  const whole = JSON.stringify(model.manifest, null, 2);
  const hash = (value: string | null, what: string) =>
    value === null ? "—" : <Hash key={what} value={value} what={what} />;
  return (
    <Card
      title="Manifest"
      intro="Everything that decided the result. Its hash is on chain, so nobody can change it afterwards."
      actions={<CopyButton text={whole} label="Copy the whole manifest" />}
    >
      <div className="grid gap-x-10 gap-y-1.5 lg:grid-cols-2">
        <Facts
          rows={[
            ["Records trained on", orDash(manifest.data.used)],
            ["Records cut short", orDash(manifest.data.truncated)],
            ["Records left out", orDash(manifest.data.refused)],
            ["Tokens learnt", orDash(manifest.data.targets)],
            ["Steps", orDash(manifest.steps)],
            ["Epochs", orDash(manifest.epochs)],
            ["Learning rate", manifest.learningRate === null ? "—" : String(manifest.learningRate)],
            [
              "Adapter",
              manifest.rank === null ? "—" : `LoRA, rank ${manifest.rank}, alpha ${manifest.alpha ?? "—"}`,
            ],
            ["Trained parts", manifest.targets.join(", ") || "—"],
          ]}
        />
        <Facts
          rows={[
            ["Model id", hash(model.id, "model id")],
            ["Manifest hash", hash(model.manifest_hash, "manifest hash")],
            ["Weights", hash(manifest.weightsHash, "weights hash")],
            ["Base model", hash(manifest.baseModel, "base model hash")],
            ["Attribution index", hash(manifest.indexRoot, "index root")],
            ["Engine", manifest.engine ?? "—"],
            [
              "System prompt",
              manifest.systemPrompt === null || manifest.systemPrompt === "" ? "none" : manifest.systemPrompt,
            ],
          ]}
        />
      </div>
      {manifest.snapshots.length === 0 && (
        <div className="mt-3">
          <Notice tone="warn" title="The manifest names no snapshot">
            Then nobody can tell which records it learnt from.
          </Notice>
        </div>
      )}
      <details className="mt-3 text-sm">
        <summary className="w-fit text-muted hover:text-ink">The whole manifest</summary>
        <pre
          tabIndex={0}
          aria-label="Manifest as JSON"
          role="region"
          className="mt-2 max-h-96 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs"
        >
          {whole}
        </pre>
      </details>
    </Card>
  );
}
