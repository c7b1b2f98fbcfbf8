/** What ModelFactory reads and does. */

import type { QueryClient } from "@tanstack/react-query";
import { keepPreviousData, queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Hex, isAddressEqual } from "viem";
import { readContract } from "viem/actions";
import { api, body } from "../../api/client";
import { type StreamState, useEventStream } from "../../api/events";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";
import { modelRegistryAbi } from "../../chain/abis";
import type { ChainInfo } from "../../chain/client";
import { useSession } from "../../wallet/session";
import { type Action, type JobEvent, type JobHistory, NO_HISTORY, take } from "./history";

type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type SubmitJob = Schemas["SubmitJob"];
export type Snapshot = Schemas["Snapshot"];
export type ModelDraft = Schemas["ModelDraft"];
export type PresetName = Schemas["PresetName"];

/** Pages of a job's events that are read in one go; the stream brings the rest. */
const PAGES_MAX = 1000;
/** Snapshots of a Datanet that are offered, the latest. */
const SNAPSHOT_PAGES_MAX = 20;

export const jobsQuery = queryOptions({
  queryKey: [...keys.jobs, "list"],
  queryFn: async ({ signal }) => (await body(api.GET("/v1/fine_tuning/jobs", { signal }))).data,
});

export const jobQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.jobs, id],
    queryFn: ({ signal }) => body(api.GET("/v1/fine_tuning/jobs/{id}", { params: { path: { id } }, signal })),
  });

/** Not under `keys.jobs`: every step of a job would read its whole history again. */
const historyKey = (id: number) => ["job-history", id] as const;

async function readHistory(cache: QueryClient, id: number, signal: AbortSignal): Promise<JobHistory> {
  let history = cache.getQueryData<JobHistory>(historyKey(id)) ?? NO_HISTORY;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const params = { path: { id }, query: { after: history.last } };
    const { data } = await body(api.GET("/v1/fine_tuning/jobs/{id}/events", { params, signal }));
    if (data.length === 0) break;
    history = take(history, data);
  }
  // What the stream brought meanwhile is further on.
  const now = cache.getQueryData<JobHistory>(historyKey(id));
  return now !== undefined && now.last > history.last ? now : history;
}

const historyQuery = (cache: QueryClient, id: number) =>
  queryOptions({
    queryKey: historyKey(id),
    queryFn: ({ signal }) => readHistory(cache, id, signal),
    staleTime: 2000,
  });

/** Pause between looks at the history of a job that others watch live. */
const LOOK_MS = 4000;

/** A job's history as it stands, read again now and then while it runs. */
export function useHistory(id: number, live: boolean) {
  const cache = useQueryClient();
  return useQuery({ ...historyQuery(cache, id), refetchInterval: live ? LOOK_MS : false });
}

/** A job's history, and each event as it comes. */
export function useLiveHistory(id: number) {
  const cache = useQueryClient();
  const query = useQuery(historyQuery(cache, id));
  const [from, setFrom] = useState<{ id: number; after: string } | null>(null);
  if (query.data !== undefined && from?.id !== id) setFrom({ id, after: String(query.data.last) });
  const stream: StreamState = useEventStream(
    from?.id === id ? `/v1/fine_tuning/jobs/${id}/stream` : null,
    [],
    ({ data }) => {
      if (!isEvent(data)) return;
      cache.setQueryData<JobHistory>(historyKey(id), (known) => take(known ?? NO_HISTORY, [data]));
    },
    from?.after,
  );
  return { query, stream };
}

function isEvent(data: unknown): data is JobEvent {
  return typeof data === "object" && data !== null && "sequence" in data && "happening" in data;
}

export const presetsQuery = queryOptions({
  queryKey: ["presets"],
  queryFn: ({ signal }) => body(api.GET("/v1/fine_tuning/presets", { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

/** All snapshots of a Datanet, the latest first. */
export const snapshotsQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.datanets, id, "snapshots", "all"],
    queryFn: async ({ signal }) => {
      const all: Snapshot[] = [];
      let after: number | null | undefined;
      for (let page = 0; page < SNAPSHOT_PAGES_MAX; page += 1) {
        const query = after === undefined || after === null ? {} : { after };
        const answer = await body(
          api.GET("/v1/datanets/{id}/snapshots", { params: { path: { id }, query }, signal }),
        );
        all.push(...answer.data);
        after = answer.next_after;
        if (after === null || after === undefined) break;
      }
      return all.reverse();
    },
  });

export interface Choice {
  datanet: number;
  snapshot: number;
}

/** A complete recipe from a preset. */
export const recipeQuery = (preset: PresetName, name: string, snapshots: readonly Choice[]) =>
  queryOptions({
    queryKey: ["recipe", preset, name, snapshots],
    queryFn: ({ signal }) =>
      body(
        api.POST("/v1/fine_tuning/recipe", {
          params: {},
          body: {
            preset,
            name,
            snapshots: snapshots.map(({ datanet, snapshot }) => ({ datanet, snapshot })),
          },
          signal,
        }),
      ),
    enabled: name !== "" && snapshots.length > 0,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });

export const estimateQuery = (submission: SubmitJob | null) =>
  queryOptions({
    queryKey: ["estimate", submission],
    queryFn: ({ signal }) =>
      body(api.POST("/v1/fine_tuning/estimate", { params: {}, body: submission as SubmitJob, signal })),
    enabled: submission !== null,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    retry: false,
  });

export const maskQuery = (submission: SubmitJob | null) =>
  queryOptions({
    queryKey: ["mask", submission],
    queryFn: ({ signal }) =>
      body(api.POST("/v1/fine_tuning/mask_preview", { params: {}, body: submission as SubmitJob, signal })),
    enabled: submission !== null,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    retry: false,
  });

/** Queues a job. */
export function useLaunch() {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (submission: SubmitJob) =>
      body(api.POST("/v1/fine_tuning/jobs", { params: {}, body: submission })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.jobs }),
  });
}

/** Pauses, resumes, stops or cancels a job. */
export function useAct(id: number) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (action: Action) =>
      body(api.POST("/v1/fine_tuning/jobs/{id}/{action}", { params: { path: { id, action } } })),
    onSuccess: (job) => {
      cache.setQueryData(jobQuery(id).queryKey, job);
      return cache.invalidateQueries({ queryKey: keys.jobs });
    },
  });
}

/** Why the one who looks may not act on a job; null when they may. */
export function useForbidden(job: Job): string | null {
  const { session } = useSession();
  if (job.owner === null) return null;
  const own = session ? isAddressEqual(session.address as Hex, job.owner as Hex) : false;
  if (own) return null;
  return session
    ? "This job belongs to another account; only that account may act on it."
    : "This job belongs to an account. Sign in with it to act on the job.";
}

export const draftQuery = (id: number, name: string) =>
  queryOptions({
    queryKey: ["draft", id, name],
    queryFn: ({ signal }) =>
      body(api.GET("/v1/fine_tuning/jobs/{id}/model", { params: { path: { id }, query: { name } }, signal })),
    enabled: name !== "",
    placeholderData: keepPreviousData,
    retry: false,
  });

/** What the registry holds of a manifest published by `builder`: null where it holds nothing. */
export const registeredQuery = (
  info: ChainInfo,
  builder: Hex | undefined,
  manifestHash: string | undefined,
) =>
  queryOptions({
    queryKey: [...keys.chain, "registered", builder, manifestHash],
    queryFn: async () => {
      const registry = { address: info.contracts.modelRegistry, abi: modelRegistryAbi } as const;
      const args = [builder as Hex, manifestHash as Hex] as const;
      const modelId = await readContract(info.client, { ...registry, functionName: "modelIdOf", args });
      const known = await readContract(info.client, {
        ...registry,
        functionName: "isModel",
        args: [modelId],
      });
      if (!known) return null;
      const model = await readContract(info.client, {
        ...registry,
        functionName: "getModel",
        args: [modelId],
      });
      return { modelId, name: model.name };
    },
    enabled: builder !== undefined && manifestHash !== undefined,
  });

/** What `ModelRegistry.publish` takes, from the node's draft. */
export function publishArgs(draft: ModelDraft) {
  const { operator, ...split } = draft.split;
  return {
    name: draft.name,
    manifestHash: draft.manifest_hash as Hex,
    baseModel: draft.base_model as Hex,
    weightsHash: draft.weights_hash as Hex,
    indexRoot: draft.index_root as Hex,
    snapshots: draft.snapshots.map((one) => ({
      datanetId: BigInt(one.datanet_id),
      snapshotId: BigInt(one.snapshot_id),
      root: one.root as Hex,
    })),
    parents: draft.parents as readonly Hex[],
    price: { inputWei: BigInt(draft.price.input_wei), outputWei: BigInt(draft.price.output_wei) },
    split: { ...split, operatorBps: operator },
  };
}

/** Has the node serve a model that is on chain. */
export function useServe(id: number) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: (model: { name: string; builder: Hex }) =>
      body(api.POST("/v1/fine_tuning/jobs/{id}/model", { params: { path: { id } }, body: model })),
    onSuccess: () =>
      Promise.all([keys.models, keys.jobs].map((queryKey) => cache.invalidateQueries({ queryKey }))),
  });
}
