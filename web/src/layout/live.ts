/** Keeps what is shown current: the node's events say what changed, and queries of that are read again. */
import { useQueryClient } from "@tanstack/react-query";
import { type StreamState, useEventStream } from "../api/events";
import { keys } from "../api/keys";

const NAMES = ["block", "epoch", "receipt", "job", "model"] as const;
const CHANGED: Record<string, readonly (readonly string[])[]> = {
  block: [keys.chain],
  epoch: [keys.epochs, keys.accounts, keys.status],
  receipt: [keys.receipts, keys.accounts, keys.records],
  job: [keys.jobs],
  model: [keys.models, keys.datanets],
};

export function useLiveUpdates(): StreamState {
  const cache = useQueryClient();
  return useEventStream("/v1/events", NAMES, ({ event }) => {
    for (const queryKey of CHANGED[event] ?? []) cache.invalidateQueries({ queryKey });
  });
}
