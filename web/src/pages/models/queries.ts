/** What the pages of models read. */
import { queryOptions } from "@tanstack/react-query";
import { api, body } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { keys } from "../../api/keys";

type Schemas = components["schemas"];
export type ModelDetail = Schemas["ModelDetail"];
export type ModelLink = Schemas["ModelLink"];
export type Adapter = Schemas["Adapter"];

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
