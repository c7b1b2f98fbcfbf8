import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Address, isHash } from "viem";
import { api, body } from "../../../api/client";
import { useChain } from "../../../chain/client";
import { Button } from "../../../ui/Button";
import { TextField } from "../../../ui/fields";
import { ErrorState } from "../../../ui/states";
import type { DatanetDetail } from "../queries";
import { resumed } from "./steps";
import { keepContribution } from "./stored";

/** A contribution begun elsewhere (another browser, the command line) goes on here, from its commitment. */
export function Resume({ datanet, address }: { datanet: DatanetDetail; address: Address }) {
  const { chain } = useChain();
  const [text, setText] = useState("");
  const commitment = text.trim();
  const resume = useMutation({
    mutationFn: async () => {
      const path = { commitment };
      const batch = await body(api.GET("/v1/batches/{commitment}", { params: { path } }));
      keepContribution(resumed(batch, { chain: chain.id, datanet: datanet.id, address }));
      setText("");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isHash(commitment)) resume.mutate();
  };
  return (
    <details className="text-sm">
      <summary className="w-fit text-muted hover:text-ink">
        Go on with a batch that was begun elsewhere
      </summary>
      <form onSubmit={submit} className="mt-3 grid gap-3">
        <TextField
          label="Commitment"
          value={text}
          onChange={setText}
          placeholder="0x…"
          description="0x and 64 digits: the fingerprint that was committed. Your commit transaction in the explorer shows it."
          {...(commitment !== "" && !isHash(commitment) ? { error: "0x and 64 digits" } : {})}
        />
        <Button
          type="submit"
          className="w-fit"
          isDisabled={!isHash(commitment)}
          isPending={resume.isPending}
          pendingLabel="Looking it up …"
        >
          Go on with it
        </Button>
        {resume.error && <ErrorState error={resume.error} what="The batch" />}
      </form>
    </details>
  );
}
