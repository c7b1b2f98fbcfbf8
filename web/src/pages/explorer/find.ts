/** What a search means: the node looks on the chain and in its own tables, and says what there is. */
import { queryOptions } from "@tanstack/react-query";
import { api, body } from "../../api/client";
import { keys } from "../../api/keys";
import { place } from "./search";

export const searchQuery = (text: string) =>
  queryOptions({
    queryKey: [...keys.chain, "search", text],
    queryFn: async ({ signal }) => {
      const { data } = await body(api.GET("/v1/search", { params: { query: { q: text } }, signal }));
      return data.map(place);
    },
    staleTime: 30_000,
  });
