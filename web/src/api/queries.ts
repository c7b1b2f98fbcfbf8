/** Queries that several pages share. A page's own queries stand beside the page. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, body, setCsrfToken } from "./client";
import { ApiError } from "./error";
import type { components } from "./generated/schema";
import { keys } from "./keys";

type Schemas = components["schemas"];
export type Status = Schemas["Status"];
export type Session = Schemas["Session"];
export type Model = Schemas["Model"];
export type Datanet = Schemas["Datanet"];

export const statusQuery = queryOptions({
  queryKey: keys.status,
  queryFn: ({ signal }) => body(api.GET("/v1/status", { signal })),
  staleTime: 30_000,
});

const SIGNED_IN = "openledger.signed-in";

/** Remembers that this browser has a session: who never signed in need not ask the node about one. */
export function rememberSession(session: Session | null) {
  setCsrfToken(session?.csrf_token ?? null);
  try {
    if (session === null) localStorage.removeItem(SIGNED_IN);
    else localStorage.setItem(SIGNED_IN, String(session.expires_at));
  } catch {
    // Storage is switched off: the session is asked for anew after each sign-in.
  }
}

function mayBeSignedIn(): boolean {
  try {
    return Number(localStorage.getItem(SIGNED_IN) ?? 0) * 1000 > Date.now();
  } catch {
    return false;
  }
}

/** Who is signed in; null for nobody. */
export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: async ({ signal }): Promise<Session | null> => {
    if (!mayBeSignedIn()) return null;
    try {
      const session = await body(api.GET("/v1/sessions/current", { signal }));
      rememberSession(session);
      return session;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      rememberSession(null);
      return null;
    }
  },
  staleTime: 60_000,
});

export const modelsQuery = queryOptions({
  queryKey: keys.models,
  queryFn: async ({ signal }) => (await body(api.GET("/v1/models", { signal }))).data,
  staleTime: 10_000,
});

/** Datanets page by page. */
export const datanetsQuery = (filter: { search?: string; owner?: string } = {}) =>
  infiniteQueryOptions({
    queryKey: [...keys.datanets, "list", filter],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET("/v1/datanets", {
          params: { query: { ...filter, ...(pageParam === null ? {} : { after: pageParam }) } },
          signal,
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.next_after ?? null,
  });

export const claimQuery = (address: string) =>
  queryOptions({
    queryKey: [...keys.accounts, address, "claim"],
    queryFn: ({ signal }) =>
      body(api.GET("/v1/accounts/{address}/claim", { params: { path: { address } }, signal })),
  });
