/** What the pages of models read. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";

type Schemas = components["schemas"];
export type ModelDetail = Schemas["ModelDetail"];
export type ModelLink = Schemas["ModelLink"];
export type Adapter = Schemas["Adapter"];
export type RegistryRow = Schemas["RegistryRow"];

/** Models of one page. */
const ROWS = 50;

/** Published models with what they have done, in the order of publication. */
export const registryQuery = (search: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.models, "registry", search],
    queryFn: ({ signal, pageParam }) => {
      const query = {
        limit: ROWS,
        ...(search === "" ? {} : { search }),
        ...(pageParam === null ? {} : { after: pageParam }),
      };
      return body(api.GET("/v1/registry", { params: { query }, signal }));
    },
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
    placeholderData: keepPreviousData,
  });

export const modelQuery = (name: string) =>
  queryOptions({
    queryKey: [...keys.models, name, "details"],
    queryFn: ({ signal }) =>
      body(api.GET("/v1/models/{name}/details", { params: { path: { name } }, signal })),
  });

/** Which adapters this node's operator serves. */
export const adaptersQuery = queryOptions({
  queryKey: [...keys.operator, "adapters"],
  queryFn: async ({ signal }) => (await body(api.GET("/v1/lora_adapters", { signal }))).data,
});

/** A Datanet by its number, for its name; null where it cannot be read. */
export const datanetNameQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.datanets, id, "name"],
    queryFn: async ({ signal }) =>
      (await body(api.GET("/v1/datanets/{id}", { params: { path: { id } }, signal }))).name,
    staleTime: 300_000,
  });
