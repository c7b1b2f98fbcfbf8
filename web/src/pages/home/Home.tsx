import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { modelsQuery, statusQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { formatDuration } from "../../lib/format";
import { NAVIGATION } from "../../routes";
import { LinkButton } from "../../ui/Button";
import { Card, Columns, Page } from "../../ui/Page";
import { Notice } from "../../ui/states";
import { Hash, Stat, StatRow, Wei } from "../../ui/values";
import { useWallet } from "../../wallet/wallet";
import { FirstSteps } from "./FirstSteps";

interface Role {
  who: string;
  what: ReactNode;
  to: string;
  action: string;
}

const ROLES: readonly Role[] = [
  {
    who: "You have data",
    what: "Add records to a Datanet under a licence that you sign. Each time one of them shapes an answer, you are paid for it.",
    to: "/datanets",
    action: "Browse Datanets",
  },
  {
    who: "You build models",
    what: "Pick a base model and Datanets, train an adapter without code, publish it on chain with your price.",
    to: "/factory",
    action: "Open ModelFactory",
  },
  {
    who: "You ask",
    what: "Chat with any published model, see what an answer costs before you send it, and which records shaped it after.",
    to: "/chat",
    action: "Open OpenChat",
  },
  {
    who: "You earned",
    what: "See what each record and each model earned, in which answer, and claim it.",
    to: "/earnings",
    action: "See earnings",
  },
  {
    who: "You check",
    what: "Look up blocks, transactions, epochs and receipts. Proofs are verified in this browser, not taken on trust.",
    to: "/explorer",
    action: "Open the explorer",
  },
  {
    who: "You run it",
    what: "See which models this node holds, how busy it is, and how far its answers are settled on chain.",
    to: "/operator",
    action: "Look at the operator",
  },
];

const STEPS: readonly [string, string][] = [
  ["Pool data", "People add records to a Datanet. Who came first is settled on chain, copies earn nothing."],
  [
    "Train",
    "A builder trains an adapter, a small addition to the base model, on a fixed state of the data, and publishes it with a price.",
  ],
  [
    "Ask",
    "Someone asks it a question and signs a voucher for the answer; a transaction for each is not needed.",
  ],
  ["Attribute", "Every answer gets a receipt: which records shaped it, and how its fee is split."],
  ["Earn", "Every so often, an epoch, the answers are settled on chain, and everyone claims their share."],
];

export function Home() {
  const { account, ready } = useWallet();
  const { development, challengeWindowS } = useChain();
  // Only pages that are there are offered.
  const roles = ROLES.filter(({ to }) => NAVIGATION.some((entry) => to.startsWith(entry.to)));
  return (
    <Page
      title="OpenLedger"
      heading="AI whose every answer pays the people behind it"
      intro="Pool data, train models on it, ask them. Each answer says which records shaped it, and its fee is split between the people who gave the data, the builder and the operator. Every number can be recomputed by anyone."
    >
      {ready && account === null && (
        <Notice
          title="To take part, connect an account"
          action={
            <LinkButton to="/account" tone="primary" size="sm">
              Connect an account
            </LinkButton>
          }
        >
          {development
            ? "This is a development chain: its coins are worth nothing, and an account with coins to try everything takes one click. Looking around needs none."
            : "A wallet in your browser is all it takes. Looking around needs none."}
        </Notice>
      )}
      {account !== null && <FirstSteps key={account.address} address={account.address} />}
      {roles.length > 0 && (
        <Columns>
          {roles.map((role) => (
            <Card key={role.who} title={role.who} fill>
              <p className="mb-3 text-sm text-muted">{role.what}</p>
              <LinkButton to={role.to} size="sm" className="mt-auto self-start">
                {role.action}
              </LinkButton>
            </Card>
          ))}
        </Columns>
      )}
      <Columns>
        <Card title="How it works">
          <ol className="grid gap-3 text-sm">
            {STEPS.map(([name, what], index) => (
              <li key={name} className="flex gap-3">
                <span className="num mt-px grid size-5 shrink-0 place-items-center rounded-full bg-accent-soft text-xs font-semibold text-accent-strong">
                  {index + 1}
                </span>
                <span>
                  <strong className="font-medium">{name}.</strong> <span className="text-muted">{what}</span>
                </span>
              </li>
            ))}
          </ol>
        </Card>
        <Numbers challengeWindowS={challengeWindowS} />
      </Columns>
    </Page>
  );
}

/** The node in numbers. */
function Numbers({ challengeWindowS }: { challengeWindowS: number }) {
  const { data: status } = useQuery(statusQuery);
  const { data: models } = useQuery(modelsQuery);
  if (status === undefined) return null;
  const { settlement, chain, operator, base_model } = status;
  const paid = models?.filter((model) => model.openledger?.price);
  return (
    <Card title="This node">
      <StatRow>
        <Stat label="Published models">{status.models}</Stat>
        <Stat label="Answers being settled" note="paid, not on chain yet">
          {settlement.receipts_waiting}
        </Stat>
        <Stat label="Last final epoch" note="up to it, earnings can be claimed">
          {settlement.last_final || "none yet"}
        </Stat>
        <Stat label="Challenge window" note="in which an epoch can be disputed">
          {formatDuration(challengeWindowS)}
        </Stat>
      </StatRow>
      {chain.error && (
        <div className="mt-3">
          <Notice tone="warn" title="The chain takes no transactions at present">
            {chain.error}
          </Notice>
        </div>
      )}
      {settlement.error && (
        <div className="mt-3">
          <Notice tone="warn" title="Settlement met a problem and will try again">
            {settlement.error}
          </Notice>
        </div>
      )}
      <ul className="mt-4 grid gap-1 border-t border-line pt-3 text-sm">
        <li className="flex flex-wrap justify-between gap-x-4">
          <span className="text-muted">Chain</span>
          <span>
            {chain.name}, id <span className="num">{chain.id}</span>
          </span>
        </li>
        <li className="flex flex-wrap justify-between gap-x-4">
          <span className="text-muted">Base model</span>
          <span>{base_model.name}, free to ask</span>
        </li>
        <li className="flex flex-wrap justify-between gap-x-4">
          <span className="text-muted">Operator</span>
          <Hash value={operator} what="operator" />
        </li>
        {paid?.slice(0, 3).map((model) => (
          <li key={model.id} className="flex flex-wrap justify-between gap-x-4">
            <Link to={`/models/${encodeURIComponent(model.id)}`} className="link">
              {model.id}
            </Link>
            <span>
              <Wei value={model.openledger?.price?.output_wei ?? "0"} />{" "}
              <span className="text-muted">a token written</span>
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
