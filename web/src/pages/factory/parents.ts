/** The models that a model is built on: which can be chosen, what is sent of them, what the node says against them. */
import { ApiError, describeError } from "../../api/error";
import type { components } from "../../api/generated/schema";
import type { Terms } from "./settings";

/** A published model, by the id that is sent and the name that people read. */
export type Parent = Pick<components["schemas"]["RegistryRow"], "id" | "name">;

/** Parents that a model can name, as the registry limits them. */
export const PARENTS_MAX = 16;
/** Where the node says that a refusal is about parents. */
const PARAM = "terms.parents";

/** The models of these ids, each once, in the order of choice; what nobody found or is beyond the limit is left out. */
export function parentsOf(ids: readonly string[], known: readonly Parent[]): Parent[] {
  const found = [...new Set(ids)].map((id) => known.find((one) => one.id === id));
  return found
    .filter((one) => one !== undefined)
    .slice(0, PARENTS_MAX)
    .map(({ id, name }) => ({ id, name }));
}

/** The terms with these parents. */
export function withParents(terms: Terms, parents: readonly Parent[]): Terms {
  return { ...terms, parents: parents.map(({ id }) => id) };
}

/** What was asked of the node and how it was refused. */
export interface Asked {
  terms: Terms | undefined;
  error: unknown;
}

/** What the node said against the parents that are chosen now; null where it said nothing, or meant others. */
export function parentsProblem(parents: readonly Parent[], asked: readonly Asked[]): string | null {
  const ids = parents.map(({ id }) => id).join();
  const refused = asked.find(
    ({ terms, error }) =>
      error instanceof ApiError &&
      error.param === PARAM &&
      terms !== undefined &&
      terms.parents.join() === ids,
  );
  return refused === undefined ? null : named(describeError(refused.error).detail, parents);
}

/** A sentence of the node with names in the place of ids. */
function named(sentence: string, parents: readonly Parent[]): string {
  return parents.reduce((text, { id, name }) => text.replaceAll(id, name), sentence);
}
