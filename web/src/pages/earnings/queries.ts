/** What the page of earnings reads. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Address } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { inferenceHubAbi } from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";
import { sumWaiting } from "./sums";

type Schemas = components["schemas"];
export type EarningsView = Schemas["Earnings"];
export type EarningsPart = Schemas["EarningsPart"];
export type StatementLine = Schemas["StatementLine"];
export type AccountRecord = Schemas["AccountRecord"];
export type Epoch = Schemas["Epoch"];
export type ClaimView = Schemas["Claim"];

/** Rows of one page. */
const ROWS = 100;

export const earningsQuery = (address: Address) =>
  queryOptions({
    queryKey: [...keys.accounts, address, "earnings"],
    queryFn: ({ signal }) =>
      body(api.GET("/v1/accounts/{address}/earnings", { params: { path: { address } }, signal })),
  });

/** Lines of a page where a statement is only summed, the most that a node gives. */
const SUMMED_ROWS = 1000;
/** Pages after which a sum is given as incomplete. */
const SUMMED_PAGES_MAX = 50;

/** What an account earned in each epoch behind the latest final one. */
export const waitingSumsQuery = (address: Address, lastFinal: number) =>
  queryOptions({
    queryKey: [...keys.accounts, address, "waiting", lastFinal],
    queryFn: ({ signal }) => {
      const page = (after: number | null) =>
        body(
          api.GET("/v1/statements/{address}", {
            params: {
              path: { address },
              query: { limit: SUMMED_ROWS, ...(after === null ? {} : { after }) },
            },
            signal,
          }),
        );
      return sumWaiting(page, lastFinal, SUMMED_PAGES_MAX);
    },
  });

export const statementQuery = (address: Address) =>
  infiniteQueryOptions({
    queryKey: [...keys.accounts, address, "statement"],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/statements/{address}", {
          params: {
            path: { address },
            query: { limit: ROWS, ...(pageParam === null ? {} : { after: pageParam }) },
          },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
  });

/** Records of an account: those that earned, or those that never did. */
export const accountRecordsQuery = (address: Address, earned: "some" | "none") =>
  infiniteQueryOptions({
    queryKey: [...keys.accounts, address, "records", earned],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/accounts/{address}/records", {
          params: {
            path: { address },
            query: { earned, limit: ROWS, ...(pageParam === null ? {} : { after: pageParam }) },
          },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
  });

/** The epochs behind the latest final one: what waits. */
export const waitingEpochsQuery = (lastFinal: number) =>
  queryOptions({
    queryKey: [...keys.epochs, "waiting", lastFinal],
    queryFn: async ({ signal }) =>
      (await body(api.GET("/v1/epochs", { params: { query: { after: lastFinal, limit: ROWS } }, signal })))
        .data,
  });

/** What the hub on chain says that a claim is proved against. */
export const hubClaimQuery = ({ client, chain, contracts }: ChainInfo, account: Address, epoch: number) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "claim", account, epoch],
    queryFn: async () => {
      const hub = { address: contracts.inferenceHub, abi: inferenceHubAbi } as const;
      const [claimed, lastFinal, found] = await Promise.all([
        readContract(client, { ...hub, functionName: "claimed", args: [account] }),
        readContract(client, { ...hub, functionName: "lastFinalEpoch" }),
        readContract(client, { ...hub, functionName: "getEpoch", args: [BigInt(epoch)] }),
      ]);
      const { balanceRoot, totalBalance, accountCount } = found;
      return { claimed, lastFinal, balanceRoot, totalBalance, accountCount };
    },
  });
