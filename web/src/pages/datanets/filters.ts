/** Filters as they stand in the address of a page, so that what is shown can be linked to. */
import { isAddress } from "viem";
import type { Datanet } from "./queries";

/** Which records are shown. */
export interface RecordFilter {
  search?: string;
  contributor?: string;
  status?: string;
  column?: string;
  value?: string;
}

const FIELDS = ["search", "contributor", "status", "column", "value"] as const;
/** Longest search that the node takes, in bytes. */
export const SEARCH_BYTES_MAX = 256;

/** Cuts at the byte limit, between characters. */
export function cutSearch(text: string): string {
  let cut = text;
  while (new TextEncoder().encode(cut).length > SEARCH_BYTES_MAX) cut = [...cut].slice(0, -1).join("");
  return cut;
}

export function readFilter(params: URLSearchParams): RecordFilter {
  const filter: RecordFilter = {};
  for (const field of FIELDS) {
    const value = params.get(field);
    if (value) filter[field] = field === "search" ? cutSearch(value) : value;
  }
  // The node takes a column with a value only, and refuses what is no address.
  if (filter.column === undefined || filter.value === undefined) {
    delete filter.column;
    delete filter.value;
  }
  if (filter.contributor !== undefined && !isAddress(filter.contributor, { strict: false }))
    delete filter.contributor;
  return filter;
}

export function writeFilter(filter: RecordFilter): URLSearchParams {
  const params = new URLSearchParams();
  for (const field of FIELDS) {
    const value = filter[field];
    if (value) params.set(field, value);
  }
  return params;
}

/** The filter that a column's value stands for: some columns have a parameter of their own. */
export function columnFilter(filter: RecordFilter, column: string, value: string | null): RecordFilter {
  if (column === "status" || column === "contributor") {
    const { [column]: _, ...rest } = filter;
    return value === null ? rest : { ...rest, [column]: value };
  }
  const { column: _column, value: _value, ...rest } = filter;
  return value === null ? rest : { ...rest, column, value };
}

/** The value of a column that the filter asks for; null for none. */
export function chosenValue(filter: RecordFilter, column: string): string | null {
  if (column === "status" || column === "contributor") return filter[column] ?? null;
  return filter.column === column ? (filter.value ?? null) : null;
}

export const rangeValue = ({ from, to }: { from: number; to: number }): string => `${from}..${to}`;

/** "prompt_length" as people say it. */
export function columnTitle(name: string): string {
  const titles: Record<string, string> = {
    prompt_length: "Length of the prompt, in characters",
    response_length: "Length of the response, in characters",
    text_length: "Length of the text, in characters",
    turns: "Turns of the conversation",
  };
  const plain = name.replaceAll("_", " ");
  return titles[name] ?? plain.charAt(0).toUpperCase() + plain.slice(1);
}

export const SORTS = {
  newest: "Newest first",
  oldest: "Oldest first",
  records: "Most records",
  contributors: "Most contributors",
  acceptance: "Highest acceptance",
  models: "Most models",
  income: "Highest income",
} as const;
export type Sort = keyof typeof SORTS;

/** Accepted of offered; null where nothing was offered. */
export function acceptance({ records_accepted, records_offered }: Datanet): number | null {
  return records_offered === 0 ? null : records_accepted / records_offered;
}

export function sortDatanets(rows: readonly Datanet[], sort: Sort): Datanet[] {
  const by: Record<Sort, (row: Datanet) => number | bigint> = {
    newest: (row) => row.id,
    oldest: (row) => -row.id,
    records: (row) => row.records_accepted,
    contributors: (row) => row.contributors,
    acceptance: (row) => acceptance(row) ?? -1,
    models: (row) => row.models,
    income: (row) => BigInt(row.income_wei),
  };
  const key = by[sort];
  return [...rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    return a === b ? other.id - one.id : a < b ? 1 : -1;
  });
}
