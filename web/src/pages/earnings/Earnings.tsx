import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate, useParams } from "react-router";
import { type Address, getAddress, isAddress } from "viem";
import { sessionQuery } from "../../api/queries";
import { formatInteger } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { Chart } from "../../ui/Chart";
import { TextField } from "../../ui/fields";
import { Card, Page } from "../../ui/Page";
import { Empty, ErrorState, Loading, Notice, QueryView } from "../../ui/states";
import { type Column, DataTable } from "../../ui/Table";
import { AccountName, Stat, StatRow, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { ClaimCard } from "./ClaimCard";
import { ModelName } from "./ModelName";
import { type EarningsPart, type EarningsView, earningsQuery, statementQuery } from "./queries";
import { RecordsCard } from "./Records";
import { StatementCard } from "./Statement";
import { byEpoch, cumulate, drawn, type EpochSum, roleOf, unitFor } from "./sums";
import { WaitingCard } from "./Waiting";

const ABOUT =
  "Each paid answer splits its fee: among whoever's records shaped it, who built the model, who runs it. Here is what came of it, for which answers, and how to take it out.";

/** Earnings of the account in the page's address, or of the one connected. */
export function Earnings() {
  const { address: named } = useParams();
  const { account, ready } = useWallet();
  const session = useQuery(sessionQuery);
  const own = account?.address ?? session.data?.address;
  const text = named ?? own;
  if (text === undefined) {
    return (
      <Page title="Earnings" intro={ABOUT}>
        {!ready || session.isPending ? <Loading label="Looking for your account …" /> : <Nobody />}
      </Page>
    );
  }
  if (!isAddress(text, { strict: false })) {
    return (
      <Page title="Earnings" intro={ABOUT}>
        <Notice tone="warn" title="The address of this page names no account">
          An account is 0x and 40 hexadecimal digits.
        </Notice>
        <LookUp />
      </Page>
    );
  }
  const address = getAddress(text.toLowerCase());
  return <Of key={address} address={address} you={own ?? null} />;
}

function Nobody() {
  return (
    <>
      <Empty
        title="Whose earnings?"
        action={
          <LinkButton to="/account" tone="primary">
            Connect an account
          </LinkButton>
        }
      >
        Connect the account with which you contribute, build or operate. Earnings are public, so you can also
        look at any other account's.
      </Empty>
      <LookUp />
    </>
  );
}

/** Opens the earnings of any account. */
function LookUp() {
  const [text, setText] = useState("");
  const [asked, setAsked] = useState(false);
  const navigate = useNavigate();
  const address = text.trim();
  const wrong = !isAddress(address, { strict: false });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setAsked(true);
    if (!wrong) navigate(`/earnings/${address}`);
  };
  return (
    <Card title="Look at any account">
      <form onSubmit={submit} className="flex flex-wrap items-start gap-2">
        <TextField
          label="Address"
          placeholder="0x…"
          value={text}
          onChange={setText}
          maxLength={64}
          error={asked && wrong ? "An address is 0x and 40 hexadecimal digits." : null}
          className="w-full max-w-lg"
        />
        <Button type="submit" className="mt-6">
          Show earnings
        </Button>
      </form>
    </Card>
  );
}

function Of({ address, you }: { address: Address; you: string | null }) {
  const query = useQuery(earningsQuery(address));
  return (
    <Page title="Earnings" intro={ABOUT}>
      <p className="-mt-3 text-sm">
        Of <AccountName value={address} you={you} />
      </p>
      <QueryView query={query} loading="Adding up the earnings" what="Earnings">
        {(earnings) => <Summary earnings={earnings} />}
      </QueryView>
      <ClaimCard address={address} />
      <WaitingCard address={address} />
      <OverTime address={address} />
      {query.data && <PartsCard parts={query.data.by} />}
      <StatementCard address={address} />
      <RecordsCard address={address} />
    </Page>
  );
}

function Summary({ earnings }: { earnings: EarningsView }) {
  const earned = BigInt(earnings.credited_wei) + BigInt(earnings.pending_wei);
  return (
    <Card>
      <StatRow>
        <Stat label="Earned" note="in all">
          <Wei value={earned} />
        </Stat>
        <Stat label="Claimed" note="already in the account">
          <Wei value={earnings.claimed_wei} />
        </Stat>
        <Stat label="Claimable" note="final, yours to take">
          <Wei value={earnings.claimable_wei} />
        </Stat>
        <Stat label="Waiting" note="in epochs that are not final yet">
          <Wei value={earnings.pending_wei} />
        </Stat>
      </StatRow>
    </Card>
  );
}

function OverTime({ address }: { address: Address }) {
  const query = useInfiniteQuery(statementQuery(address));
  const lines = query.data?.pages.flatMap((page) => page.data) ?? [];
  const sums = byEpoch(lines);
  const partial = query.hasNextPage;
  return (
    <Card
      title="Over time"
      intro={
        partial
          ? `From the latest ${formatInteger(lines.length)} answers; read more of them in the statement below to draw more.`
          : "Each point is an epoch, in which the receipts of many answers are settled together."
      }
    >
      {query.isPending && !query.error ? (
        <Loading label="Reading the statement …" />
      ) : sums.length === 0 ? (
        query.error ? (
          <ErrorState error={query.error} retry={() => query.refetch()} what="Statement" />
        ) : (
          <Empty
            title="Nothing earned yet"
            action={<LinkButton to="/datanets">Contribute to a Datanet</LinkButton>}
          >
            As soon as a paid answer draws on this account's records or model, it appears here.
          </Empty>
        )
      ) : (
        <EpochChart sums={sums} partial={partial} />
      )}
    </Card>
  );
}

/** Begins at nothing, one epoch before the first that paid. */
function EpochChart({ sums, partial }: { sums: readonly EpochSum[]; partial: boolean }) {
  const totals = cumulate(sums);
  const unit = unitFor(totals.at(-1) ?? 0n);
  const scaled = (wei: bigint) => Number(wei) / unit.wei;
  const epochs = sums.map(({ epoch }) => epoch);
  return (
    <Chart
      title={`Earned in each epoch, and together, in ${unit.name}`}
      x={{
        label: "Epoch",
        values: [(epochs[0] ?? 1) - 1, ...epochs],
        format: (value) => (Number.isInteger(value) ? String(value) : ""),
      }}
      y={{ format: drawn }}
      series={[
        {
          label: "In the epoch",
          values: [null, ...sums.map(({ wei }) => scaled(wei))],
          kind: "points",
          tone: "accent",
        },
        {
          label: partial ? "Together, since the first shown" : "Together",
          values: [0, ...totals.map(scaled)],
          tone: "second",
        },
      ]}
    />
  );
}

const PART_COLUMNS: Column<EarningsPart>[] = [
  {
    id: "role",
    header: "As",
    accessorFn: ({ role }) => roleOf(role).name,
    cell: ({ row: { original } }) => {
      const { name, about } = roleOf(original.role);
      return (
        <span>
          {name} <span className="block text-xs text-muted">{about}</span>
        </span>
      );
    },
  },
  {
    id: "model",
    header: "Model",
    accessorFn: ({ model }) => model,
    cell: ({ row: { original } }) => <ModelName model={original.model} />,
  },
  {
    id: "answers",
    header: "Answers",
    meta: { numeric: true, className: "max-sm:hidden" },
    accessorFn: ({ answers }) => answers,
    cell: ({ row: { original } }) => formatInteger(original.answers),
  },
  {
    id: "amount",
    header: "Earned",
    meta: { numeric: true },
    accessorFn: ({ wei }) => Number(wei),
    cell: ({ row: { original } }) => <Wei value={original.wei} />,
  },
];

function PartsCard({ parts }: { parts: readonly EarningsPart[] }) {
  if (parts.length === 0) return null;
  return (
    <Card
      title="With what"
      intro="All that was earned, claimed or not, by what it was earned for."
      padded={false}
    >
      <DataTable
        label="Earnings by role and model"
        columns={PART_COLUMNS}
        rows={parts}
        rowKey={({ role, model }) => `${role} ${model}`}
      />
    </Card>
  );
}
