import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Upload } from "../queries";

const id = `0x${"ab".repeat(32)}` as const;
const file = new Blob([new Uint8Array(2 * 1024 * 1024 + 10)]);

/** A node that keeps what it got, and fails as told. */
function node(failures: Response[]) {
  const state = { received: 0, puts: [] as number[] };
  const upload = (): Upload => ({
    id,
    datanet: 1,
    contributor: "0x00000000000000000000000000000000000000a1",
    file_name: "a.csv",
    bytes: file.size,
    hash: id,
    received_bytes: state.received,
    finished: state.received === file.size,
  });
  const answer = async (request: Request) => {
    if (request.method === "GET") return Response.json(upload());
    const offset = Number(new URL(request.url).searchParams.get("offset"));
    const bytes = (await request.arrayBuffer()).byteLength;
    state.puts.push(offset);
    if (offset === state.received) state.received += bytes;
    return failures.shift() ?? Response.json(upload());
  };
  return { state, upload, answer };
}

async function load(failures: Response[]) {
  const { state, upload, answer } = node(failures);
  vi.stubGlobal("location", { origin: "http://node.test" });
  vi.stubGlobal("fetch", answer);
  const { sendChunks } = await import("./transfers");
  return { state, upload, sendChunks };
}

const refusal = (status: number, code: string) =>
  Response.json(
    { error: { message: "no", type: "t", code, param: null } },
    { status, headers: { "retry-after": "0" } },
  );

describe("sending a file", () => {
  beforeEach(() => vi.resetModules());

  it("goes in chunks, from where the node stands", async () => {
    const { state, upload, sendChunks } = await load([]);
    state.received = 1024 * 1024;
    const sent: number[] = [];
    await sendChunks(upload(), file, (bytes) => sent.push(bytes) > 0);
    expect(state.puts).toEqual([1024 * 1024, 2 * 1024 * 1024]);
    expect(sent.at(-1)).toBe(file.size);
  });

  it("goes on where the node stands when an answer was lost", async () => {
    const { state, upload, sendChunks } = await load([refusal(409, "upload_offset")]);
    await sendChunks(upload(), file, () => true);
    expect(state.puts).toEqual([0, 1024 * 1024, 2 * 1024 * 1024]);
  });

  it("tries again when the node is busy, and gives up on a refusal", async () => {
    const busy = await load([refusal(503, "busy")]);
    await busy.sendChunks(busy.upload(), file, () => true);
    expect(busy.state.received).toBe(file.size);
    vi.resetModules();
    const refused = await load([refusal(400, "invalid_upload")]);
    await expect(refused.sendChunks(refused.upload(), file, () => true)).rejects.toThrow("no");
  });

  it("stops when asked to", async () => {
    const { state, upload, sendChunks } = await load([]);
    await sendChunks(upload(), file, () => false);
    expect(state.puts).toEqual([0]);
  });
});
