/** Where what a search found is shown. */
import type { components } from "../../api/generated/schema";
import { shortHex } from "../../lib/format";
import { links } from "./links";

export type Match = components["schemas"]["Match"];

/** Longest text that is searched for. */
export const SEARCH_MAX = 100;

export interface Found {
  what: string;
  label: string;
  to: string;
}

/** Where a match is shown. */
export function place(match: Match): Found {
  switch (match.kind) {
    case "block":
      return { what: "Block", label: String(match.number), to: links.block(match.number) };
    case "transaction":
      return { what: "Transaction", label: shortHex(match.hash), to: links.transaction(match.hash) };
    case "address":
      return { what: "Address", label: shortHex(match.address), to: links.address(match.address) };
    case "receipt":
      return { what: "Receipt", label: shortHex(match.hash), to: links.receipt(match.hash) };
    case "record":
      return {
        what: "Record",
        label: shortHex(match.hash),
        to: `${links.datanet(match.datanet)}/records/${match.hash}`,
      };
    case "model":
      return { what: "Model", label: match.name, to: links.model(match.name) };
    case "datanet":
      return { what: `Datanet ${match.id}`, label: match.name, to: links.datanet(match.id) };
    case "epoch":
      return { what: "Epoch", label: String(match.number), to: links.epoch(match.number) };
  }
}
