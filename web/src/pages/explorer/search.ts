/** What somebody who types into the search box may mean. */

export type Target =
  | { kind: "block" | "epoch" | "datanet"; number: number }
  | { kind: "address"; address: `0x${string}` }
  /** A transaction, a receipt, a block's hash, a model's id or a record: only looking tells. */
  | { kind: "hash"; hash: `0x${string}` }
  | { kind: "name"; name: string };

/** Longest text that is searched for. */
export const SEARCH_MAX = 100;

const HEX_ADDRESS = /^(0x)?[0-9a-f]{40}$/i;
const HEX_HASH = /^(0x)?[0-9a-f]{64}$/i;
const NUMBER = /^#?(\d[\d,_ ]*)$/;
const NAMED_NUMBER = /^(block|epoch|datanet)\s*#?\s*(\d[\d,_ ]*)$/i;

const prefixed = (hex: string): `0x${string}` => `0x${hex.replace(/^0x/i, "").toLowerCase()}`;

function parseNumber(text: string | undefined): number | null {
  const number = Number((text ?? "").replace(/[,_ ]/g, ""));
  return Number.isSafeInteger(number) ? number : null;
}

/** Reads a search; several targets where the text may mean several things. */
export function searchTargets(text: string): Target[] {
  const query = text.trim().slice(0, SEARCH_MAX);
  if (query === "") return [];
  if (HEX_ADDRESS.test(query)) return [{ kind: "address", address: prefixed(query) }];
  if (HEX_HASH.test(query)) return [{ kind: "hash", hash: prefixed(query) }];
  const named = NAMED_NUMBER.exec(query);
  if (named !== null) {
    const number = parseNumber(named[2]);
    const kind = named[1]?.toLowerCase() as "block" | "epoch" | "datanet";
    if (number !== null) return [{ kind, number }];
  }
  const plain = NUMBER.exec(query);
  const number = plain === null ? null : parseNumber(plain[1]);
  const name: Target = { kind: "name", name: query };
  if (number === null) return [name];
  return [{ kind: "block", number }, { kind: "epoch", number }, { kind: "datanet", number }, name];
}
