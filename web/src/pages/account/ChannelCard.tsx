import { queryOptions, useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../api/keys";
import { modelsQuery } from "../../api/queries";
import { useChain } from "../../chain/client";
import { callsLeft } from "../../channel/account";
import { type Channel, priceOf, useChannel } from "../../channel/use-channel";
import { useBalance } from "../../layout/AccountMenu";
import { count, formatInteger, openExact, parseOpen } from "../../lib/format";
import { Button } from "../../ui/Button";
import { Select, TextField } from "../../ui/fields";
import { Card } from "../../ui/Page";
import { ErrorState, Notice, QueryView } from "../../ui/states";
import { Hash, Stat, StatRow, Time, useNow, Wei } from "../../ui/values";
import { Declined } from "../../wallet/approval";

/** A deposit covers about so many questions unless another amount is typed. */
const SUGGESTED_CALLS = 100n;
/** Nobody is asked to set aside more than this share of what they have. */
const SUGGESTED_PART = 4n;
const QUESTION = "How are you?";

/** The channel that pays for questions: what is left of it, in OPEN and in calls; more in, or back out. */
export function ChannelCard() {
  const { query, deposit, requestWithdrawal, finishWithdrawal } = useChannel();
  const paid = usePaidModels();
  return (
    <Card
      title="Payment channel"
      intro="Questions to published models are paid from here. You deposit once; each answer then takes its price by a signed voucher, without a transaction. The base model is free and needs none."
    >
      <QueryView query={query} loading="Reading the channel from the chain" what="The channel">
        {(channel) => (
          <div className="grid gap-5">
            <State channel={channel} />
            {(paid.length > 0 || channel.onChain.balance > 0n) && (
              <Deposit channel={channel} deposit={deposit} />
            )}
            {channel.onChain.balance > 0n && (
              <Withdraw channel={channel} request={requestWithdrawal} finish={finishWithdrawal} />
            )}
          </div>
        )}
      </QueryView>
    </Card>
  );
}

function usePrice(model: string | null) {
  const info = useChain();
  return useQuery(
    queryOptions({
      queryKey: [...keys.models, "price", model],
      queryFn: ({ signal }) =>
        priceOf(info, { model, messages: [{ role: "user", content: QUESTION }] }, signal),
      enabled: model !== null,
      staleTime: 60_000,
    }),
  );
}

function usePaidModels(): string[] {
  const { data } = useQuery(modelsQuery);
  return (data ?? []).filter((model) => model.openledger?.price).map((model) => model.id);
}

function State({ channel }: { channel: Channel }) {
  const models = usePaidModels();
  const [chosen, choose] = useState<string | null>(null);
  const model = chosen ?? models[0] ?? null;
  const price = usePrice(model);
  const ceiling = price.data ? BigInt(price.data.amount) : null;
  if (channel.onChain.balance === 0n) {
    return (
      <Notice title="No channel is open yet">
        {models.length === 0
          ? "No model with a price is published on this node yet, so there is nothing to pay for. You will be asked for a deposit with your first question, too."
          : "Open one with the deposit below. What you do not spend stays yours."}
      </Notice>
    );
  }
  return (
    <div className="grid gap-4">
      <StatRow>
        <Stat label="Left">
          <Wei value={channel.left} />
        </Stat>
        <Stat label="Deposited">
          <Wei value={channel.onChain.balance} />
        </Stat>
        <Stat label="Charged so far">
          <Wei value={channel.charged} />
        </Stat>
        {ceiling !== null && (
          <Stat
            label="Calls left, at least"
            note={
              <>
                a call to {model} costs at most <Wei value={ceiling} />
              </>
            }
          >
            {formatInteger(callsLeft(channel.onChain, channel.charged, ceiling))}
          </Stat>
        )}
      </StatRow>
      <div className="flex flex-wrap items-end justify-between gap-3 text-sm">
        <span className="text-muted">
          Channel <Hash value={channel.id} what="channel" />
        </span>
        {models.length > 1 && (
          <Select
            label="Count calls to"
            className="w-56"
            value={model}
            onChange={choose}
            choices={models.map((id) => ({ value: id, label: id }))}
          />
        )}
      </div>
      {price.error && (
        <ErrorState error={price.error} what="The price of a call" retry={() => price.refetch()} />
      )}
    </div>
  );
}

function Deposit({ channel, deposit }: { channel: Channel; deposit: (amount: bigint) => Promise<unknown> }) {
  const models = usePaidModels();
  const price = usePrice(models[0] ?? null);
  const { data: balance } = useBalance();
  const [typed, setTyped] = useState<string | null>(null);
  const put = useMutation({
    mutationFn: deposit,
    // What was typed meanwhile is another amount, and stays.
    onSuccess: (_, sent) => setTyped((now) => (now !== null && parseOpen(now) === sent ? null : now)),
  });
  const text = typed ?? suggestion(price.data ? BigInt(price.data.amount) : null, balance);
  const amount = parseOpen(text);
  const tooMuch = amount !== null && balance !== undefined && amount > balance;
  const problem =
    text === ""
      ? null
      : amount === null || amount === 0n
        ? "Write an amount such as 2.5"
        : tooMuch
          ? "More than the account has"
          : null;
  const calls = price.data && amount ? amount / BigInt(price.data.amount) : null;
  return (
    <form
      className="grid gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (amount !== null && problem === null) put.mutate(amount);
      }}
    >
      <div className="flex flex-wrap items-start gap-2">
        <TextField
          label={channel.onChain.balance > 0n ? "Add to the channel" : "First deposit"}
          className="w-60"
          unit="OPEN"
          inputMode="decimal"
          value={text}
          onChange={setTyped}
          error={problem}
          description={
            calls !== null && problem === null
              ? `at least ${count(calls, "call")} to ${models[0]}`
              : undefined
          }
        />
        <Button
          type="submit"
          tone="primary"
          className="sm:mt-[1.55rem]"
          isDisabled={amount === null || problem !== null}
          isPending={put.isPending}
          pendingLabel="Depositing …"
        >
          {channel.onChain.balance > 0n ? "Top up" : "Open the channel"}
        </Button>
      </div>
      {put.error && !(put.error instanceof Declined) && <ErrorState error={put.error} what="The deposit" />}
    </form>
  );
}

/** Enough for many questions, but not most of what there is. */
function suggestion(ceiling: bigint | null, balance: bigint | undefined): string {
  if (ceiling === null || balance === undefined) return "";
  const wanted = ceiling * SUGGESTED_CALLS;
  const most = balance / SUGGESTED_PART;
  return openExact(wanted < most ? wanted : most).replaceAll(",", "");
}

function Withdraw({
  channel,
  request,
  finish,
}: {
  channel: Channel;
  request: (amount: bigint) => Promise<unknown>;
  finish: () => Promise<unknown>;
}) {
  const now = useNow() / 1000;
  const { withdrawAmount, withdrawableAt } = channel.onChain;
  const act = useMutation({ mutationFn: (work: () => Promise<unknown>) => work() });
  const asked = withdrawAmount > 0n;
  const open = asked && now >= withdrawableAt;
  return (
    <div className="grid gap-2 border-t border-line pt-4 text-sm">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <span className="max-w-prose text-muted">
          {asked ? (
            <>
              <Wei value={withdrawAmount} /> asked back
              {open ? (
                "; it can be taken now."
              ) : (
                <>
                  , to be taken from <Time seconds={withdrawableAt} absolute /> on.
                </>
              )}
            </>
          ) : (
            `Money that is not spent can be asked back; it comes after ${channel.config.withdrawDelay / 60} minutes.`
          )}
        </span>
        {asked ? (
          <Button size="sm" isDisabled={!open} isPending={act.isPending} onPress={() => act.mutate(finish)}>
            Take it
          </Button>
        ) : (
          <Button
            size="sm"
            isDisabled={channel.left === 0n}
            isPending={act.isPending}
            onPress={() => act.mutate(() => request(channel.left))}
          >
            Ask back what is left
          </Button>
        )}
      </div>
      {act.error && !(act.error instanceof Declined) && (
        <ErrorState error={act.error} what="The withdrawal" />
      )}
    </div>
  );
}
