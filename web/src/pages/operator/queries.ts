/** What the operator's page reads. */
import { queryOptions } from "@tanstack/react-query";
import type { Address } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { inferenceHubAbi } from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";
import { addSample, SAMPLES_MAX, type Sample } from "./throughput";

type Schemas = components["schemas"];
export type OperatorView = Schemas["Operator"];
export type Adapter = Schemas["Adapter"];
export type Metrics = Schemas["Metrics"];
export type Epoch = Schemas["Epoch"];
export type DisputeList = Schemas["DisputeList"];

/** Pause between two looks. */
export const LOOK_EVERY_MS = 2000;
/** Epochs behind the latest final one that are listed. */
const EPOCHS_SHOWN = 20;

export interface Watched {
  now: OperatorView;
  /** Counters at each look so far, the oldest first; kept with the answer, so that leaving the page keeps them. */
  samples: readonly Sample[];
}

const operatorKey = [...keys.operator, "watched"] as const;

export const operatorQuery = queryOptions({
  queryKey: operatorKey,
  queryFn: async ({ signal, client }): Promise<Watched> => {
    const now = await body(api.GET("/v1/operator", { signal }));
    const before = client.getQueryData<Watched>(operatorKey)?.samples ?? [];
    const { requests_done_total: done, tokens_in_total: tokensIn, tokens_out_total: tokensOut } = now.metrics;
    const samples = addSample(before, { atMs: Date.now(), done, tokensIn, tokensOut }, SAMPLES_MAX);
    return { now, samples };
  },
  refetchInterval: LOOK_EVERY_MS,
});

/** Epochs that are not final, and those just before. */
export const recentEpochsQuery = (lastFinal: number) =>
  queryOptions({
    queryKey: [...keys.epochs, "recent", lastFinal],
    queryFn: async ({ signal }) => {
      const query = { after: Math.max(0, lastFinal - 3), limit: EPOCHS_SHOWN };
      return (await body(api.GET("/v1/epochs", { params: { query }, signal }))).data;
    },
    refetchInterval: LOOK_EVERY_MS * 2,
  });

/** Challenges that the hub upheld, of any operator. */
export const disputesQuery = queryOptions({
  queryKey: [...keys.epochs, "disputes"],
  queryFn: ({ signal }) => body(api.GET("/v1/disputes", { signal })),
  refetchInterval: LOOK_EVERY_MS * 5,
});

/** The operator as the hub knows it: its bond backs every epoch that is not final. */
export const bondQuery = ({ client, chain, contracts }: ChainInfo, operator: Address) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "operator", operator],
    queryFn: async () => {
      const hub = { address: contracts.inferenceHub, abi: inferenceHubAbi } as const;
      const [found, least] = await Promise.all([
        readContract(client, { ...hub, functionName: "getOperator", args: [operator] }),
        readContract(client, { ...hub, functionName: "bondMin" }),
      ]);
      return { ...found, least };
    },
  });
