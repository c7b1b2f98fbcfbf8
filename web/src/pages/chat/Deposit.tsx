/** Opens the payment channel or tops it up without leaving the conversation. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useChannel } from "../../channel/use-channel";
import { useBalance } from "../../layout/AccountMenu";
import { count, openExact, parseOpen } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { TextField } from "../../ui/fields";
import { ErrorState } from "../../ui/states";
import { Wei } from "../../ui/values";
import { Declined } from "../../wallet/approval";
import { suggestedDeposit } from "./amounts";

export function DepositCard({
  missing,
  ceiling,
  onDone,
}: {
  missing: bigint;
  /** The most that an answer costs. */
  ceiling: bigint;
  onDone: () => void;
}) {
  const { query, deposit } = useChannel();
  const { data: balance } = useBalance();
  const [typed, setTyped] = useState<string | null>(null);
  const put = useMutation({ mutationFn: deposit, onSuccess: onDone });
  const text = typed ?? openExact(suggestedDeposit(missing, ceiling)).replaceAll(",", "");
  const amount = parseOpen(text);
  const open = query.data !== undefined && query.data.onChain.balance > 0n;
  const poor = balance !== undefined && amount !== null && amount > balance;
  const problem =
    amount === null || amount === 0n
      ? "Write an amount such as 0.5"
      : amount < missing
        ? "Less than this question needs"
        : poor
          ? "More than the account has"
          : null;
  const answers = amount !== null && ceiling > 0n ? amount / ceiling : 0n;
  return (
    <form
      aria-label={open ? "Top up the payment channel" : "Open a payment channel"}
      className="grid gap-3 rounded-md border border-accent/35 bg-accent-soft px-4 py-3 text-sm"
      onSubmit={(event) => {
        event.preventDefault();
        if (amount !== null && problem === null) put.mutate(amount);
      }}
    >
      <div>
        <p className="font-medium">
          {open ? "Your payment channel is short" : "Open a payment channel first"}
        </p>
        <p className="mt-0.5">
          This question can cost up to <Wei value={ceiling} />
          {missing < ceiling && (
            <>
              , <Wei value={missing} /> more than is left
            </>
          )}
          . You deposit once, in one transaction; each answer then takes only its price. What you do not spend
          stays yours and can be asked back on your account page.
        </p>
      </div>
      <div className="flex flex-wrap items-start gap-2">
        <TextField
          label="Deposit"
          className="w-56"
          unit="OPEN"
          inputMode="decimal"
          value={text}
          onChange={setTyped}
          error={problem}
          description={
            problem === null ? `enough for at least ${count(answers, "answer")} like this` : undefined
          }
        />
        <Button
          type="submit"
          tone="primary"
          className="mt-[1.55rem]"
          isDisabled={problem !== null}
          isPending={put.isPending}
          pendingLabel="Depositing …"
        >
          {open ? "Top up and ask again" : "Open and ask again"}
        </Button>
      </div>
      {poor && (
        <p>
          The account has <Wei value={balance} />.{" "}
          <LinkButton to="/account" size="sm">
            Get OPEN on your account page
          </LinkButton>
        </p>
      )}
      {put.error && !(put.error instanceof Declined) && <ErrorState error={put.error} what="The deposit" />}
    </form>
  );
}
