/** Files on their way to the node. They go on while other pages are shown; a reload stops them where they are. */
import { useSyncExternalStore } from "react";
import type { Hex } from "viem";
import { api, body } from "../../../api/client";
import { ApiError, NetworkError } from "../../../api/error";
import type { Upload } from "../queries";
import { columnsOf, cutName, formatOf, HEAD_BYTES, hashFile, refusalOf } from "./files";
import { changeContribution, keepContribution } from "./stored";

/** Bytes sent at once. */
export const CHUNK_BYTES = 1024 * 1024;
/** Files sent at the same time. */
const AT_ONCE = 2;
/** Tries of one chunk, and the pause after the first; it doubles. */
const TRIES_MAX = 5;
const PAUSE_MS = 500;

export interface Place {
  chain: number;
  datanet: number;
  contributor: string;
}

export interface Transfer extends Place {
  key: number;
  file: File;
  phase: "queued" | "hashing" | "sending" | "failed";
  /** Known once the node has been asked. */
  upload: Hex | null;
  sent: number;
  error: unknown;
}

let transfers: readonly Transfer[] = [];
let nextKey = 1;
let running = 0;
const listeners = new Set<() => void>();

function set(next: readonly Transfer[]) {
  transfers = next;
  for (const listener of listeners) listener();
}

function change(key: number, part: Partial<Transfer>) {
  set(transfers.map((one) => (one.key === key ? { ...one, ...part } : one)));
}

/** Starts sending files; what cannot be taken is listed with its reason. */
export function addFiles(place: Place, files: readonly File[]) {
  const added = files.map((file): Transfer => {
    const refusal = refusalOf(file);
    const error = refusal === null ? null : new Error(refusal);
    const phase = refusal === null ? "queued" : "failed";
    return { ...place, key: nextKey++, file, phase, upload: null, sent: 0, error };
  });
  set([...transfers, ...added]);
  runNext();
}

export function dropTransfer(key: number) {
  set(transfers.filter((one) => one.key !== key));
}

export function retryTransfer(key: number) {
  change(key, { phase: "queued", error: null });
  runNext();
}

function runNext() {
  const next = transfers.find((one) => one.phase === "queued");
  if (next === undefined || running >= AT_ONCE) return;
  running += 1;
  change(next.key, { phase: "hashing" });
  send(next)
    .then(
      () => dropTransfer(next.key),
      (error: unknown) => change(next.key, { phase: "failed", error }),
    )
    .finally(() => {
      running -= 1;
      runNext();
    });
  runNext();
}

const isGone = (key: number) => !transfers.some((one) => one.key === key);

async function send({ key, file, ...place }: Transfer) {
  const { chain, datanet, contributor } = place;
  const fileName = cutName(file.name);
  const format = formatOf(fileName);
  const [hash, head] = await Promise.all([hashFile(file), file.slice(0, HEAD_BYTES).text()]);
  const begun = await body(
    api.POST("/v1/datanets/{id}/uploads", {
      params: { path: { id: datanet } },
      body: { contributor: contributor as Hex, file_name: fileName, bytes: file.size, hash },
    }),
  );
  const { id: upload } = begun;
  const known = {
    upload,
    chain,
    datanet,
    contributor,
    fileName,
    bytes: file.size,
    format,
    columns: columnsOf(format, head),
  };
  const blank = { mapping: null, batch: null, file: null, consent: null, result: null };
  keepContribution({ ...known, ...blank, uploaded: begun.finished, sent: begun.received_bytes });
  change(key, { phase: "sending", upload, sent: begun.received_bytes });
  await sendChunks(begun, file, (sent) => {
    change(key, { sent });
    changeContribution(upload, { sent });
    return !isGone(key);
  });
  if (!isGone(key)) changeContribution(upload, { uploaded: true, sent: file.size });
}

/** Sends what the node does not have yet; `onSent` gives whether to go on. */
export async function sendChunks(
  begun: Upload,
  file: Blob,
  onSent: (sent: number) => boolean,
): Promise<void> {
  let { id, received_bytes: sent, finished } = begun;
  while (!finished) {
    const answer = await sendChunk(id, file.slice(sent, sent + CHUNK_BYTES), sent);
    if (!answer.finished && answer.received_bytes >= file.size) {
      throw new Error(
        "The node has all bytes, but the file is not what was announced. Did it change meanwhile?",
      );
    }
    ({ received_bytes: sent, finished } = answer);
    if (!onSent(sent)) return;
  }
}

/** Sends one chunk, again after a break; where the node stands elsewhere, it says where. */
async function sendChunk(id: Hex, chunk: Blob, offset: number): Promise<Upload> {
  for (let tries = 1; ; tries++) {
    try {
      return await body(
        api.PUT("/v1/uploads/{id}", {
          params: { path: { id }, query: { offset } },
          // The document calls bytes a string; they are sent as they are.
          body: chunk as unknown as string,
          bodySerializer: (bytes: string) => bytes,
          headers: { "content-type": "application/octet-stream" },
        }),
      );
    } catch (error) {
      if (error instanceof ApiError && error.code === "upload_offset" && tries < TRIES_MAX) {
        return await body(api.GET("/v1/uploads/{id}", { params: { path: { id } } }));
      }
      if (!mayPass(error) || tries >= TRIES_MAX) throw error;
      const pause =
        error instanceof ApiError && error.retryAfterS !== null ? error.retryAfterS * 1000 : PAUSE_MS;
      await new Promise((resolve) => setTimeout(resolve, pause * 2 ** (tries - 1)));
    }
  }
}

const mayPass = (error: unknown) =>
  error instanceof NetworkError ||
  (error instanceof ApiError && (error.status >= 500 || error.status === 429));

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Files that are being sent, or that failed. */
export function useTransfers(): readonly Transfer[] {
  return useSyncExternalStore(subscribe, () => transfers);
}
