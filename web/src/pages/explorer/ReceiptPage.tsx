import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link, useParams } from "react-router";
import { type Hex, isHash } from "viem";
import { modelsQuery } from "../../api/queries";
import { readReserve } from "../../api/reserve";
import { type ChainInfo, useChain } from "../../chain/client";
import { readParents, readTerms } from "../../chain/model";
import { count, formatInteger, formatPercent } from "../../lib/format";
import { saveFile } from "../../lib/save";
import { Button, LinkButton } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, Notice, QueryView } from "../../ui/states";
import { Facts, Hash, Stat, StatRow, Time, Wei } from "../../ui/values";
import { type ChainEpoch, checkReceipt, verdict } from "./check";
import { toCsv } from "./csv";
import { links } from "./links";
import { Party, Unreadable } from "./parts";
import {
  hubEpochQuery,
  isMissing,
  type ReceiptBundle,
  type ReceiptRecord,
  receiptQuery,
  receiptRecordsQuery,
} from "./queries";

const BACK = { to: links.explorer, label: "Explorer" };
/** Weights are in 65535ths. */
const WEIGHT_WHOLE = 65_535;

export function ReceiptPage() {
  const { hash = "" } = useParams();
  return (
    <Page
      title="Receipt"
      back={BACK}
      intro="The operator's signed word on one paid answer: what it cost, which model gave it, and who is paid. Question and answer are not in it; only whoever asked can show them."
    >
      {isHash(hash) ? (
        <Hashed key={hash} hash={hash} />
      ) : (
        <Unreadable what="receipt" example="/explorer/receipt/0x… (64 digits)" />
      )}
    </Page>
  );
}

function Hashed({ hash }: { hash: Hex }) {
  const query = useQuery(receiptQuery(hash));
  if (query.data !== undefined) return <Details bundle={query.data} hash={hash} />;
  if (query.error && isMissing(query.error)) {
    return (
      <Empty
        title="This node has no such receipt"
        action={<LinkButton to={links.search(hash)}>Search for the hash</LinkButton>}
      >
        Receipts are kept by the operator who signed them. It may be the hash of something else.
      </Empty>
    );
  }
  if (query.error) return <ErrorState error={query.error} retry={() => query.refetch()} what="Receipt" />;
  return <Loading label="Reading the receipt …" />;
}

function Details({ bundle, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const { receipt } = bundle;
  const models = useQuery(modelsQuery);
  const model = models.data?.find(
    (one) => one.openledger.model_id?.toLowerCase() === receipt.modelId.toLowerCase(),
  );
  return (
    <>
      <Card>
        <StatRow>
          <Stat label="Fee">
            <Wei value={receipt.fee} />
          </Stat>
          <Stat label="Model">
            {model ? (
              <Link to={links.model(model.id)} className="link break-all">
                {model.id}
              </Link>
            ) : (
              <Hash value={receipt.modelId} what="model id" />
            )}
          </Stat>
          <Stat label="Tokens in / out">
            {formatInteger(receipt.tokensIn)} / {formatInteger(receipt.tokensOut)}
          </Stat>
          <Stat label="Answered">
            <Time seconds={receipt.answeredAt} />
          </Stat>
          <Stat label="Epoch">
            <Link to={links.epoch(receipt.epoch)} className="link">
              {receipt.epoch}
            </Link>
          </Stat>
        </StatRow>
      </Card>
      <VerifyCard bundle={bundle} hash={hash} />
      <Columns>
        <SplitCard bundle={bundle} />
        <PayoutsCard bundle={bundle} hash={hash} />
      </Columns>
      <SharesCard bundle={bundle} hash={hash} />
      <FieldsCard bundle={bundle} hash={hash} />
    </>
  );
}

function VerifyCard({ bundle, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const [asked, setAsked] = useState(false);
  return (
    <Card
      title="Verify"
      intro="Recomputes hashes, signatures, amounts and proofs in this browser, and compares with what the chain holds. The answer, the scores and the weights are not computed again: only whoever asked can have that done."
      actions={
        !asked && (
          <Button tone="primary" size="sm" onPress={() => setAsked(true)}>
            Verify this receipt
          </Button>
        )
      }
    >
      {asked ? (
        <Checks bundle={bundle} hash={hash} />
      ) : (
        <p className="text-sm text-muted">It takes a moment and costs nothing.</p>
      )}
    </Card>
  );
}

async function verify(info: ChainInfo, bundle: ReceiptBundle, hash: Hex, epoch: ChainEpoch | null) {
  const { receipt } = bundle;
  const [terms, reserve, parents] = await Promise.all([
    readTerms(info, receipt.modelId),
    readReserve(receipt),
    readParents(info, receipt),
  ]);
  return checkReceipt(bundle, hash, info.hub, { epoch, terms, paidBy: { reserve, parents } });
}

function Checks({ bundle, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const info = useChain();
  const rpc = info.chain.rpcUrls.default.http[0] ?? "the node";
  const epoch = useQuery(hubEpochQuery(info, bundle.receipt.epoch));
  const onChain = epoch.data && {
    receiptsRoot: epoch.data.receiptsRoot,
    receiptCount: epoch.data.receiptCount,
    operator: epoch.data.operator,
    status: epoch.data.status,
  };
  const checks = useQuery({
    queryKey: [
      "verification",
      hash,
      bundle.inclusion?.receiptsRoot ?? null,
      onChain?.receiptsRoot,
      onChain?.status,
    ],
    queryFn: () => verify(info, bundle, hash, onChain ?? null),
    enabled: onChain !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (onChain === undefined) {
    return (
      <QueryView query={epoch} loading="Asking the hub on chain for the epoch" what="Hub">
        {() => null}
      </QueryView>
    );
  }
  return (
    <QueryView query={checks} loading="Recomputing" what="Verification">
      {(list) => {
        const { tone, text } = verdict(list);
        return (
          <div role="status" className="grid gap-3">
            <Notice tone={tone} title={text} />
            <ul className="grid gap-1.5 text-sm">
              {list.map((check) => (
                <li key={check.text} className="flex gap-2">
                  <span
                    aria-hidden="true"
                    className={
                      check.holds === null ? "text-warn" : check.holds ? "text-accent" : "text-danger"
                    }
                  >
                    {check.holds === null ? "–" : check.holds ? "✓" : "✗"}
                  </span>
                  <span>
                    <span className="sr-only">
                      {check.holds === null ? "Not checked: " : check.holds ? "Holds: " : "Does not hold: "}
                    </span>
                    {check.text}
                  </span>
                </li>
              ))}
            </ul>
            <p className="max-w-prose text-sm text-muted">
              Computed in this browser from what the node gives of the receipt, and from the chain as {rpc}{" "}
              tells it. Not checked here: that the model gave this answer, which is not in the receipt, and
              that scores and weights are right. Whoever asked can save the evidence beside the answer; with
              it, and with model and index, anyone can replay all of that bit for bit.
            </p>
          </div>
        );
      }}
    </QueryView>
  );
}

const PARTS: readonly [keyof ReceiptBundle["receipt"]["split"], string][] = [
  ["influence", "Contributors, by influence on the answer"],
  ["provenance", "Contributors, by what the answer repeats"],
  ["operator", "Operator, who ran the model"],
  ["builder", "Builder, who trained it"],
  ["parents", "Builders of its parent models"],
  ["stakers", "Stakers"],
  ["burn", "Burned: leaves circulation"],
];

function SplitCard({ bundle: { receipt } }: { bundle: ReceiptBundle }) {
  const rows = PARTS.map(([part, label]) => [label, <Wei key={part} value={receipt.split[part]} />] as const);
  return (
    <Card title="How the fee is split" intro="The parts add up to the fee, to the last wei.">
      <Facts
        rows={[
          ...rows,
          [
            "Fee",
            <strong key="fee">
              <Wei value={receipt.fee} />
            </strong>,
          ],
        ]}
      />
    </Card>
  );
}

function PayoutsCard({ bundle: { payouts = [] }, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const save = () =>
    saveFile(
      `payouts-${hash}.csv`,
      toCsv(
        ["account", "amount_wei"],
        payouts.map(({ account, amount }) => [account, amount]),
      ),
    );
  return (
    <Card
      title="Who is paid"
      intro={`${count(payouts.length, "account")}; each can claim once the epoch is final.`}
      actions={
        payouts.length > 0 && (
          <Button size="sm" onPress={save}>
            Save as CSV
          </Button>
        )
      }
    >
      {payouts.length === 0 ? (
        <p className="text-sm text-muted">Nobody: the answer cost nothing.</p>
      ) : (
        <ul className="grid max-h-80 gap-1 overflow-auto text-sm">
          {payouts.map(({ account, amount }) => (
            <li key={account} className="flex justify-between gap-4">
              <Party value={account} copy />
              <Wei value={amount} />
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function SharesCard({ bundle: { receipt }, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const records = useQuery(receiptRecordsQuery(hash)).data?.data ?? [];
  const pools = [
    {
      name: "Influence",
      pool: "influence",
      about: "whose records pushed the model towards this answer",
      shares: receipt.influence,
    },
    {
      name: "Quotation",
      pool: "provenance",
      about: "whose records the answer repeats word by word",
      shares: receipt.provenance,
    },
  ];
  return (
    <Card
      title="Attribution"
      intro="How much each contributor's records counted. The records were found after the answer was given."
    >
      <Columns>
        {pools.map(({ name, pool, about, shares }) => (
          <section key={name}>
            <h3 className="text-sm font-medium">{name}</h3>
            <p className="mb-1 text-xs text-muted">{about}</p>
            {shares.length === 0 ? (
              <p className="text-sm text-muted">
                Nobody stood out: this pool is divided evenly over all accepted records of the training data.
              </p>
            ) : (
              <ul className="grid max-h-64 gap-1 overflow-auto text-sm">
                {shares.map(({ contributor, weight }) => (
                  <li key={contributor} className="flex justify-between gap-4">
                    <Party value={contributor} />
                    <span className="num">{formatPercent(weight / WEIGHT_WHOLE, 1)}</span>
                  </li>
                ))}
              </ul>
            )}
            <RecordList records={records.filter((one) => one.pool === pool)} />
          </section>
        ))}
      </Columns>
    </Card>
  );
}

/** What each record brought its contributor by this answer. */
function RecordList({ records }: { records: readonly ReceiptRecord[] }) {
  if (records.length === 0) return null;
  return (
    <>
      <h4 className="mt-3 text-xs text-muted">{count(records.length, "record")}</h4>
      <ul className="grid max-h-64 gap-1 overflow-auto text-sm">
        {records.map(({ record, datanet, earned_wei }) => (
          <li key={record} className="flex justify-between gap-4">
            <Hash value={record} what="record" to={`${links.datanet(datanet)}/records/${record}`} />
            <Wei value={earned_wei} />
          </li>
        ))}
      </ul>
    </>
  );
}

type FieldRow = readonly [name: string, about: string, value: ReactNode];

function fieldGroups(
  { receipt }: ReceiptBundle,
  hash: Hex,
): readonly (readonly [string, readonly FieldRow[]])[] {
  const shown = (value: string, what: string) => <Hash value={value} what={what} />;
  return [
    [
      "What this is",
      [
        ["Hash", "names the receipt; it is computed from all other fields", shown(hash, "receipt")],
        ["Version", "of the format", receipt.version],
        [
          "Epoch",
          "settles it together with other receipts",
          <Link key="epoch" to={links.epoch(receipt.epoch)} className="link">
            {receipt.epoch}
          </Link>,
        ],
        ["Number", "among all receipts of this operator", formatInteger(receipt.sequence)],
        [
          "Operator",
          "ran the model and signed this receipt",
          <Party key="operator" value={receipt.operator} copy />,
        ],
        [
          "Signature",
          "of the operator",
          <span key="signature" className="font-mono text-xs break-all">
            {receipt.signature}
          </span>,
        ],
        ["Request came", "", <Time key="requested" seconds={receipt.requestedAt} absolute />],
        ["Answer was complete", "", <Time key="answered" seconds={receipt.answeredAt} absolute />],
      ],
    ],
    [
      "How it was paid",
      [
        ["Payer", "asked and paid", <Party key="payer" value={receipt.payer} copy />],
        ["Channel", "the payment channel that the fee comes from", shown(receipt.channelId, "channel")],
        [
          "Charged before",
          "on the channel, until this answer",
          <Wei key="before" value={receipt.cumulativeBefore} />,
        ],
        [
          "Charged after",
          "on the channel, with this answer",
          <Wei key="after" value={receipt.cumulativeAfter} />,
        ],
        [
          "Voucher",
          "hash of what the payer signed to pay for it",
          shown(receipt.voucherHash, "voucher hash"),
        ],
        ["Offer", "hash of the price that the payer accepted", shown(receipt.offerHash, "offer hash")],
        ["Price of a token in", "", <Wei key="in" value={receipt.price.inputWei} />],
        ["Price of a token out", "", <Wei key="out" value={receipt.price.outputWei} />],
      ],
    ],
    [
      "What answered",
      [
        ["Model", "id on chain", shown(receipt.modelId, "model id")],
        ["Builder", "published the model", <Party key="builder" value={receipt.builder} copy />],
        ["Base model", "hash of its weights", shown(receipt.baseModel, "base model")],
        ["Adapter weights", "hash of what the builder trained", shown(receipt.weightsHash, "weights hash")],
        ["Engine", "the program and version that computed it", shown(receipt.engineId, "engine")],
        [
          "Quantisation",
          "the number format that it computed in",
          shown(receipt.quantisationId, "quantisation"),
        ],
        ["Seed", "of the sampling: with it the same answer comes out again", receipt.seed],
      ],
    ],
    [
      "Question and answer",
      [
        [
          "Request",
          "salted hash: only whoever asked can show what it was",
          shown(receipt.requestHash, "request hash"),
        ],
        ["Answer", "salted hash of the answer's text", shown(receipt.responseHash, "answer hash")],
        ["Tokens in", "length of the question", formatInteger(receipt.tokensIn)],
        ["Tokens out", "length of the answer", formatInteger(receipt.tokensOut)],
      ],
    ],
    [
      "Attribution",
      [
        ["Method", "how records were found and weighed", shown(receipt.attributionMethod, "method")],
        [
          "Snapshots",
          "roots of the data that the model was trained on",
          receipt.snapshotRoots.length === 0
            ? "none"
            : receipt.snapshotRoots.map((root) => (
                <span key={root} className="block">
                  {shown(root, "snapshot root")}
                </span>
              )),
        ],
        ["Index", "root of what records were looked up in", shown(receipt.indexRoot, "index root")],
        [
          "Details",
          "root over the scores of single records",
          shown(receipt.attributionRoot, "attribution root"),
        ],
      ],
    ],
  ];
}

function FieldsCard({ bundle, hash }: { bundle: ReceiptBundle; hash: Hex }) {
  const save = () => saveFile(`receipt-${hash}.json`, JSON.stringify(bundle, null, 2), "application/json");
  return (
    <Card
      title="Every field"
      intro="What is signed, and what each of it means."
      actions={
        <Button size="sm" onPress={save}>
          Save as JSON
        </Button>
      }
    >
      <div className="grid gap-5">
        {fieldGroups(bundle, hash).map(([title, rows]) => (
          <section key={title}>
            <h3 className="mb-1.5 text-sm font-medium">{title}</h3>
            <dl className="grid gap-x-6 gap-y-1.5 text-sm sm:grid-cols-[20rem_1fr]">
              {rows.map(([name, about, value]) => (
                <div key={name} className="contents">
                  <dt>
                    {name}
                    {about && <span className="block text-xs text-muted">{about}</span>}
                  </dt>
                  <dd className="min-w-0 max-sm:mb-2">{value}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Card>
  );
}
