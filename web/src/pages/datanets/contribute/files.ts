/** Files as they are chosen: formats, limits, columns. */
import type { Hex } from "viem";
import { formatBytes } from "../../../lib/format";
import type { FileFormat, Mapping } from "../queries";

/** The node's limits. */
export const FILE_BYTES_MAX = 64 * 1024 * 1024;
const NAME_BYTES_MAX = 128;
/** As many columns as are offered for mapping. */
const COLUMNS_MAX = 256;
/** Bytes in which a file's columns are looked for. */
export const HEAD_BYTES = 1024 * 1024;

export const FORMATS: Record<FileFormat, { label: string; endings: readonly string[]; rows: string }> = {
  jsonl: { label: "JSON Lines (one object a line)", endings: ["jsonl", "ndjson"], rows: "line" },
  csv: { label: "CSV (with a header)", endings: ["csv"], rows: "row" },
  parquet: { label: "Parquet", endings: ["parquet"], rows: "row" },
  text: { label: "Plain text (a record each paragraph)", endings: ["txt", "text"], rows: "paragraph" },
  markdown: { label: "Markdown (a record each section)", endings: ["md", "markdown"], rows: "section" },
};
const NAMES = Object.keys(FORMATS) as FileFormat[];
export const ENDINGS = NAMES.flatMap((name) => FORMATS[name].endings.map((ending) => `.${ending}`));

/** The format that a name's ending means; null when it means none. */
export function formatOf(fileName: string): FileFormat | null {
  const ending = /\.([^.]+)$/.exec(fileName)?.[1]?.toLowerCase() ?? "";
  return NAMES.find((name) => FORMATS[name].endings.includes(ending)) ?? null;
}

/** Whether records are made of named columns. */
export function hasColumns(format: FileFormat | null): boolean {
  return format === "jsonl" || format === "csv" || format === "parquet";
}

/** Why a file cannot be taken; null when it can. */
export function refusalOf({ size }: { size: number }): string | null {
  if (size === 0) return "The file is empty.";
  if (size > FILE_BYTES_MAX) {
    return `The file has ${formatBytes(size)}; at most ${formatBytes(FILE_BYTES_MAX)} are taken at once. Split it and drop the parts.`;
  }
  return null;
}

/** Cuts long names in front of their ending: the ending says the format. */
export function cutName(name: string): string {
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  if (bytes(name) <= NAME_BYTES_MAX) return name;
  const at = name.lastIndexOf(".");
  const ending = at > 0 && name.length - at <= 16 ? name.slice(at) : "";
  let stem = [...name.slice(0, name.length - ending.length)];
  while (bytes(stem.join("") + ending) > NAME_BYTES_MAX) stem = stem.slice(0, -1);
  return stem.join("") + ending;
}

/** The columns that a file's beginning names; empty where it cannot be seen here. */
export function columnsOf(format: FileFormat | null, head: string): string[] {
  const text = head.replace(/^\ufeff/, "");
  const found = format === "csv" ? csvHeader(text) : format === "jsonl" ? jsonKeys(text) : [];
  return [...new Set(found.filter((name) => name !== ""))].slice(0, COLUMNS_MAX);
}

/** First record of a CSV (RFC 4180): quoted fields may hold commas, line breaks and doubled quotes. */
function csvHeader(text: string): string[] {
  const fields: string[] = [];
  let [field, quoted, at] = ["", false, 0];
  for (; at < text.length; at++) {
    const character = text[at] ?? "";
    if (quoted && character === '"' && text[at + 1] === '"') {
      field += '"';
      at++;
    } else if (character === '"') quoted = !quoted;
    else if (!quoted && character === ",") {
      fields.push(field);
      field = "";
    } else if (!quoted && (character === "\n" || character === "\r")) break;
    else field += character;
  }
  return [...fields, field];
}

function jsonKeys(text: string): string[] {
  const line = text.split("\n").find((one) => one.trim() !== "") ?? "";
  try {
    const row: unknown = JSON.parse(line);
    return typeof row === "object" && row !== null && !Array.isArray(row) ? Object.keys(row) : [];
  } catch {
    return [];
  }
}

export type MappingKind = "prompt" | "text" | "messages" | "media";

/** What records can be made of, with the columns that each needs. */
export const MAPPINGS: Record<MappingKind, { label: string; description: string; roles: readonly string[] }> =
  {
    prompt: {
      label: "Question and answer",
      description: "A model learns to give the answer to the question.",
      roles: ["prompt", "response"],
    },
    text: { label: "Text", description: "A model learns to write such text.", roles: ["text"] },
    messages: {
      label: "Conversation",
      description: "A list of turns, each with role and content; a model learns the assistant's.",
      roles: ["messages"],
    },
    media: {
      label: "File with description",
      description: "The hash of a file in the blob store, and what it shows.",
      roles: ["media", "text"],
    },
  };

export function mappingKind(mapping: Mapping): MappingKind {
  if ("prompt" in mapping) return "prompt";
  if ("messages" in mapping) return "messages";
  return "media" in mapping ? "media" : "text";
}

/** A mapping of what was chosen; null while a column is missing or chosen twice. */
export function mappingOf(kind: MappingKind, columns: Readonly<Record<string, string>>): Mapping | null {
  const chosen = MAPPINGS[kind].roles.map((role) => [role, (columns[role] ?? "").trim()] as const);
  const names = chosen.map(([, column]) => column);
  if (names.includes("") || new Set(names).size < names.length) return null;
  return Object.fromEntries(chosen) as unknown as Mapping;
}

/** The file could not be read from its disk. */
class Unreadable extends Error {
  override name = "Unreadable";
  constructor() {
    super("The file cannot be read. Was it moved or changed? Choose it again.");
  }
}

/** keccak256 of the file. */
export function hashFile(file: Blob): Promise<Hex> {
  const worker = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
  const hashed = new Promise<Hex>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<{ hash: Hex | null }>) =>
      data.hash === null ? reject(new Unreadable()) : resolve(data.hash);
    worker.onerror = () => reject(new Error("The browser could not compute the file's hash."));
  });
  worker.postMessage(file);
  return hashed.finally(() => worker.terminate());
}
