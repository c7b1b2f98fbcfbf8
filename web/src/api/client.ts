/** The node's API, typed by its OpenAPI document. */
import createClient from "openapi-fetch";
import { NetworkError, refusal } from "./error";
import type { paths } from "./generated/schema";

let csrfToken: string | null = null;

/** The token that state-changing requests of this session carry; null when nobody is signed in. */
export function setCsrfToken(token: string | null) {
  csrfToken = token;
}

/** The headers that a state-changing request needs beside the cookie. */
export function csrfHeaders(): Record<string, string> {
  return csrfToken === null ? {} : { "x-csrf-token": csrfToken };
}

/** Calls by method and path; refusals are thrown as `ApiError`, silence as `NetworkError`. */
export const api = createClient<paths>({ baseUrl: location.origin, fetch: (request) => fetch(request) });

api.use({
  onRequest({ request }) {
    if (request.method === "GET") return undefined;
    for (const [name, value] of Object.entries(csrfHeaders())) request.headers.set(name, value);
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok) throw await refusal(response);
    return undefined;
  },
  onError({ error }) {
    return new NetworkError(error);
  },
});

/** The body of an answer that has one. */
export async function body<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  if (data === undefined) throw new TypeError("The node's answer is empty.");
  return data;
}
