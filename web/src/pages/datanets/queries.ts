/** What the pages of Datanets read. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { type Address, type Hex, isAddressEqual } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { datanetRegistryAbi } from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";
import type { RecordFilter } from "./filters";

type Schemas = components["schemas"];
export type Datanet = Schemas["Datanet"];
export type DatanetDetail = Schemas["DatanetDetail"];
export type LicenceTerms = Schemas["LicenceTerms"];
export type DatanetRecord = Schemas["Record"];
export type RecordDetail = Schemas["RecordDetail"];
export type Column = Schemas["Column"];
export type Contributor = Schemas["Contributor"];
export type Snapshot = Schemas["Snapshot"];
export type Upload = Schemas["Upload"];
export type Preview = Schemas["Preview"];
export type PreparedBatch = Schemas["PreparedBatch"];
export type StoredBatch = Schemas["Batch"];
export type AcceptReport = Schemas["AcceptReport"];
export type Mapping = Schemas["Mapping"];
export type FileFormat = Schemas["FileFormat"];

/** Rows of one page. */
const ROWS = 100;
/** Snapshots whose state on chain is read at once, the latest ones. */
const CHAIN_SNAPSHOTS_MAX = 64;

/** The cursor as a query parameter; none for the first page. */
const from = (after: number | null) => (after === null ? {} : { after });

export const browseQuery = (filter: { search?: string; owner?: string }) =>
  infiniteQueryOptions({
    queryKey: [...keys.datanets, "browse", filter],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/datanets", {
          params: { query: { ...filter, limit: ROWS, ...from(pageParam) } },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
    placeholderData: keepPreviousData,
  });

export const datanetQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.datanets, id, "detail"],
    queryFn: ({ signal }) => body(api.GET("/v1/datanets/{id}", { params: { path: { id } }, signal })),
  });

export const columnsQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.datanets, id, "columns"],
    queryFn: ({ signal }) => body(api.GET("/v1/datanets/{id}/columns", { params: { path: { id } }, signal })),
  });

export const recordsQuery = (id: number, filter: RecordFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.records, id, filter],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/datanets/{id}/records", {
          params: { path: { id }, query: { ...filter, limit: ROWS, ...from(pageParam) } },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
    placeholderData: keepPreviousData,
  });

export const recordQuery = (hash: string) =>
  queryOptions({
    queryKey: [...keys.records, "one", hash],
    queryFn: ({ signal }) => body(api.GET("/v1/records/{hash}", { params: { path: { hash } }, signal })),
  });

export const contributorsQuery = (id: number) =>
  infiniteQueryOptions({
    queryKey: [...keys.datanets, id, "contributors"],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/datanets/{id}/contributors", {
          params: { path: { id }, query: { limit: ROWS, ...from(pageParam) } },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
  });

/** Every snapshot, in order. */
export const snapshotsQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.datanets, id, "snapshots"],
    queryFn: async ({ signal }) => {
      const all: Snapshot[] = [];
      let after: number | null = null;
      do {
        const page: { data: Snapshot[]; next_after?: number | null } = await body(
          api.GET("/v1/datanets/{id}/snapshots", {
            params: { path: { id }, query: { limit: ROWS, ...from(after) } },
            signal,
          }),
        );
        all.push(...page.data);
        after = page.next_after ?? null;
      } while (after !== null);
      return all;
    },
  });

/** A snapshot as the registry has it. */
export interface ChainSnapshot {
  number: number;
  root: Hex;
  publishedAt: number;
}

/** What the registry has of a Datanet's snapshots: how many, and the latest of them. */
export const chainSnapshotsQuery = ({ client, chain, contracts }: ChainInfo, id: number) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "datanet", id, "snapshots"],
    queryFn: async (): Promise<{ count: number; latest: ChainSnapshot[] }> => {
      const registry = { address: contracts.datanetRegistry, abi: datanetRegistryAbi } as const;
      const datanet = await readContract(client, {
        ...registry,
        functionName: "getDatanet",
        args: [BigInt(id)],
      });
      const count = Number(datanet.snapshotCount);
      const first = Math.max(1, count - CHAIN_SNAPSHOTS_MAX + 1);
      const numbers = Array.from({ length: count - first + 1 }, (_, index) => first + index);
      const read = async (number: number): Promise<ChainSnapshot> => {
        const args = [BigInt(id), BigInt(number)] as const;
        const found = await readContract(client, { ...registry, functionName: "getSnapshot", args });
        return { number, root: found.root, publishedAt: Number(found.publishedAt) };
      };
      return { count, latest: await Promise.all(numbers.map(read)) };
    },
  });

/** Whether an account may publish snapshots of a Datanet: its owner and curators may. */
export const curatorQuery = (
  { client, chain, contracts }: ChainInfo,
  id: number,
  account: Address | undefined,
) =>
  queryOptions({
    queryKey: [...keys.chain, chain.id, "datanet", id, "curator", account],
    queryFn: () =>
      account === undefined
        ? false
        : readContract(client, {
            address: contracts.datanetRegistry,
            abi: datanetRegistryAbi,
            functionName: "isCurator",
            args: [BigInt(id), account],
          }),
    enabled: account !== undefined,
  });

/** Compares accounts however they are written. */
export function sameAccount(one: string | null | undefined, other: string | null | undefined): boolean {
  return Boolean(
    one && other && isAddressEqual(one.toLowerCase() as Address, other.toLowerCase() as Address),
  );
}
