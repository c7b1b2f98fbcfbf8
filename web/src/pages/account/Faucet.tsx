import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { Address } from "viem";
import { waitForTransactionReceipt } from "viem/actions";
import { api, body } from "../../api/client";
import { keys } from "../../api/keys";
import { useChain } from "../../chain/client";
import { useBalance } from "../../layout/AccountMenu";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Page";
import { ErrorState } from "../../ui/states";
import { Hash, Wei } from "../../ui/values";

/** Coins for trying things. */
export function Faucet({ address, amount }: { address: Address; amount: bigint }) {
  const { client } = useChain();
  const cache = useQueryClient();
  const { data: balance } = useBalance();
  const grant = useMutation({
    mutationFn: async () => {
      const granted = await body(api.POST("/v1/faucet", { body: { address } }));
      await waitForTransactionReceipt(client, { hash: granted.tx_hash });
      await cache.invalidateQueries({ queryKey: keys.chain });
      return granted;
    },
  });
  return (
    <Card
      title="Free coins"
      actions={
        <Button
          size="sm"
          tone={balance === 0n ? "primary" : "secondary"}
          isDisabled={grant.isSuccess}
          isPending={grant.isPending}
          pendingLabel="Sending …"
          onPress={() => grant.mutate()}
        >
          Get coins
        </Button>
      }
    >
      <p className="text-sm text-muted">
        The faucet of this development chain gives your account <Wei value={amount} />, once an hour. They pay
        for transactions and questions, and are worth nothing elsewhere.
      </p>
      <div aria-live="polite">
        {grant.data && (
          <p className="mt-2 text-sm">
            Received <Wei value={grant.data.amount_wei} /> in transaction{" "}
            <Hash value={grant.data.tx_hash} to={`/explorer/tx/${grant.data.tx_hash}`} what="transaction" />
          </p>
        )}
      </div>
      {grant.error && (
        <div className="mt-3">
          <ErrorState error={grant.error} />
        </div>
      )}
    </Card>
  );
}
