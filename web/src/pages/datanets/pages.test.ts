import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ComponentType, createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { MemoryRouter, Outlet, Route, Routes } from "react-router";
import type { Hex } from "viem";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChainInfo } from "../../chain/client";
import type { DatanetDetail, DatanetRecord, RecordDetail } from "./queries";

// Pages are drawn as a server would: once, without effects. Stores of the browser are read as they are then.
vi.mock("react", async (original) => {
  const react = await original<typeof import("react")>();
  return { ...react, useSyncExternalStore: <T>(_: unknown, read: () => T) => read() };
});
vi.mock("../../wallet/wallet", () => ({ useWallet: () => ({ account: wallet.account, ready: true }) }));
vi.mock("../../wallet/send", () => ({ useSend: () => vi.fn(), useSignTypedData: () => vi.fn() }));
vi.mock("../../ui/Toasts", () => ({ useToasts: () => ({ show: vi.fn(), fail: vi.fn() }) }));
vi.mock("../../ui/Dialog", () => ({ useConfirm: () => vi.fn() }));

const hex = (byte: string, bytes = 32) => `0x${byte.repeat(bytes)}` as Hex;
const me = hex("a1", 20);
const wallet: { account: { address: Hex } | null } = { account: { address: me } };
const HOSTILE = "<img src=x onerror=alert(1)>";

const chain = {
  chain: { id: 161201, name: "Devnet" },
  contracts: { datanetRegistry: hex("02", 20) },
  faucetWei: 1n,
} as unknown as ChainInfo;

const datanet: DatanetDetail = {
  id: 1,
  owner: me,
  name: HOSTILE,
  licence_hash: hex("0c"),
  terms: { commercial_use: true, derivatives: true, attribution: true, uri: "javascript:alert(1)" },
  similarity_per_mille: 700,
  records_offered: 10,
  records_accepted: 7,
  contributors: 2,
  snapshots: 1,
  models: 1,
  income_wei: "1000000000000000000",
  model_names: [HOSTILE],
  rejections: [{ reason: "same words as an earlier record", count: 3 }],
};
const record: DatanetRecord = {
  hash: hex("0a"),
  datanet: 1,
  commitment: hex("0b"),
  index: 0,
  contributor: me,
  status: "accepted",
  reason: null,
  cluster: 1,
  kind: "prompt",
  body: { prompt: HOSTILE, response: "fine" },
  earned_wei: "5",
};
const pagesOf = <T>(data: T[]) => ({ pages: [{ data, next_after: null }], pageParams: [null] });

const stored = new Map<string, string>();

async function draw(
  path: string,
  at: string,
  load: () => Promise<ComponentType>,
  fill: (cache: QueryClient) => void,
) {
  const { ChainContext } = await import("../../chain/client");
  const cache = new QueryClient();
  fill(cache);
  const page = createElement(Route, { path, element: createElement(await load()) });
  const frame = createElement(Route, { element: createElement(Outlet, { context: datanet }) }, page);
  const within = (children: ReactNode) =>
    createElement(
      QueryClientProvider,
      { client: cache },
      createElement(ChainContext, { value: chain }, children),
    );
  const router = createElement(MemoryRouter, { initialEntries: [at] }, createElement(Routes, null, frame));
  return renderToString(within(router)).replaceAll("<!-- -->", "");
}

beforeEach(() => {
  stored.clear();
  wallet.account = { address: me };
  vi.stubGlobal("location", { origin: "http://node.test" });
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
  };
  // Names of entries are read as properties, as in a browser.
  vi.stubGlobal(
    "localStorage",
    new Proxy(storage, {
      ownKeys: () => [...stored.keys()],
      getOwnPropertyDescriptor: (_, key) => ({ configurable: true, enumerable: stored.has(String(key)) }),
    }),
  );
});
afterEach(() => vi.resetModules());

describe("the list", () => {
  const list = async () => (await import("./List")).List;

  it("shows numbers of each Datanet, and its name as text", async () => {
    const html = await draw("/datanets", "/datanets", list, (cache) =>
      cache.setQueryData(["datanets", "browse", {}], pagesOf([datanet])),
    );
    expect(html).not.toContain("<img");
    expect(html).toContain("&lt;img");
    expect(html).toContain("70 %");
    expect(html).toContain("1 Datanet");
  });

  it("says what is read, and offers to create the first", async () => {
    expect(await draw("/datanets", "/datanets", list, () => undefined)).toContain("Reading the Datanets");
    const none = await draw("/datanets", "/datanets", list, (cache) =>
      cache.setQueryData(["datanets", "browse", {}], pagesOf([])),
    );
    expect(none).toContain("Create the first one");
  });
});

describe("a Datanet", () => {
  it("shows terms, reasons and tabs, and no link that runs code", async () => {
    const html = await draw(
      "/datanets/:id",
      "/datanets/1",
      async () => (await import("./Detail")).Detail,
      (cache) => cache.setQueryData(["datanets", 1, "detail"], datanet),
    );
    expect(html).toContain("Same words as an earlier record");
    expect(html).toContain("The licence holds for ever.");
    expect(html).not.toContain('href="javascript:');
    expect(html).toContain("/datanets/1/snapshots");
  });

  it("shows records under the filter in the address, with counts that filter", async () => {
    const filter = { status: "accepted" };
    const html = await draw(
      "/datanets/:id",
      "/datanets/1?status=accepted",
      async () => (await import("./Records")).Records,
      (cache) => {
        cache.setQueryData(["records", 1, filter], pagesOf([record]));
        const column = {
          name: "status",
          kind: "category",
          bins: [],
          distinct: 1,
          values: [{ value: "accepted", count: 7 }],
        };
        const lengths = {
          name: "prompt_length",
          kind: "number",
          values: [],
          distinct: 2,
          bins: [{ from: 1, to: 5, count: 7 }],
        };
        cache.setQueryData(["datanets", 1, "columns"], {
          data: [column, lengths],
          records: 10,
          records_total: 10,
        });
      },
    );
    expect(html).toContain("accepted: 7 records");
    expect(html).toContain("1 to 5: 7 records");
    expect(html).toContain("Remove the filter: accepted");
    expect(html).not.toContain("<img");
  });

  it("shows one record with its proof, and refuses addresses that name none", async () => {
    const detail: RecordDetail = { ...record, salt: null, snapshots: [] };
    const page = async () => (await import("./RecordPage")).RecordPage;
    const path = "/datanets/:id/records/:hash";
    const html = await draw(path, `/datanets/1/records/${record.hash}`, page, (cache) =>
      cache.setQueryData(["records", "one", record.hash], detail),
    );
    expect(html).toContain("Check the proof");
    expect(html).not.toContain("<img");
    expect(await draw(path, "/datanets/1/records/0x1", page, () => undefined)).toContain("not a record");
  });

  it("lists contributors, snapshots and models", async () => {
    const contributor = { address: me, offered: 4, accepted: 3, acceptance_per_mille: 750, earned_wei: "9" };
    const contributors = await draw(
      "/",
      "/",
      async () => (await import("./Contributors")).Contributors,
      (cache) => cache.setQueryData(["datanets", 1, "contributors"], pagesOf([contributor])),
    );
    expect(contributors).toContain("(75 %)");
    const snapshots = await draw(
      "/",
      "/",
      async () => (await import("./Snapshots")).Snapshots,
      (cache) => {
        const rows = [1, 2].map((snapshot) => ({
          snapshot,
          root: hex("0d"),
          record_count: 7,
          contributor_count: 2,
        }));
        cache.setQueryData(["datanets", 1, "snapshots"], rows);
        cache.setQueryData(["chain", 161201, "datanet", 1, "curator", me], true);
        const latest = [{ number: 1, root: hex("0d"), publishedAt: 1_700_000_000 }];
        cache.setQueryData(["chain", 161201, "datanet", 1, "snapshots"], { count: 1, latest });
      },
    );
    expect(snapshots).toContain("1 snapshot not on chain yet");
    expect(snapshots).toContain("published");
    expect(
      await draw(
        "/",
        "/",
        async () => (await import("./Models")).Models,
        () => undefined,
      ),
    ).toContain("&lt;img");
  });
});

describe("creating and contributing", () => {
  it("explains the licence, and asks for an account", async () => {
    wallet.account = null;
    const html = await draw(
      "/datanets/new",
      "/datanets/new",
      async () => (await import("./New")).New,
      () => undefined,
    );
    expect(html).toContain("Connect an account to create a Datanet");
    expect(html).toContain("may charge for answers");
  });

  const contribute = async () => (await import("./contribute/Contribute")).Contribute;
  const kept = {
    version: 1,
    upload: hex("0e"),
    chain: 161201,
    datanet: 1,
    contributor: me,
    fileName: "mine.csv",
    bytes: 100,
    uploaded: true,
    sent: 100,
    format: "csv",
    columns: ["prompt", "response"],
    mapping: null,
    batch: null,
    file: null,
    consent: null,
    result: null,
    addedAt: 1,
  };
  const drawKept = (part: object, fill: (cache: QueryClient) => void = () => undefined) => {
    stored.set(`openledger.contribution.${kept.upload}`, JSON.stringify({ ...kept, ...part }));
    return draw("/datanets/:id/contribute", "/datanets/1/contribute", contribute, (cache) => {
      cache.setQueryData(["datanets", 1, "detail"], datanet);
      fill(cache);
    });
  };

  it("goes on with an upload that was interrupted", async () => {
    expect(await drawKept({ uploaded: false, sent: 40 })).toContain(
      "Sending stopped at 40 bytes of 100 bytes",
    );
  });

  it("previews rows, faults and copies", async () => {
    const rejection = { row: 3, column: "response", code: "empty", reason: "response is empty" };
    const preview = {
      columns: ["prompt", "response"],
      mapping: { prompt: "prompt", response: "response" },
      report: { rows: 3, accepted: 2, rejected: 1, rejections: [rejection] },
      sample: [{ prompt: HOSTILE, response: "b" }],
      duplicates: [{ row: 2, of_row: 1, similarity_per_mille: 1000 }],
    };
    const html = await drawKept({}, (cache) =>
      cache.setQueryData(["uploads", kept.upload, "preview", "csv", null], preview),
    );
    expect(html).toContain("response is empty");
    expect(html).toContain("row 1 of this file");
    expect(html).toContain("Use 2 records");
    expect(html).not.toContain("<img");
  });

  const batch = {
    datanet: 1,
    contributor: me,
    batch_root: hex("0f"),
    record_count: 2,
    commitment: hex("10"),
  };

  it("goes on behind the step that the chain has", async () => {
    const html = await drawKept({ batch }, (cache) =>
      cache.setQueryData(["chain", 161201, "commitment", batch.commitment], { priority: 3, revealed: false }),
    );
    expect(html).toContain("Goes on where it stopped.");
    expect(html.match(/>done</g)).toHaveLength(2);
  });

  it("says what was accepted, what was not and why, and what comes next", async () => {
    const copy = {
      position: 1,
      record: hex("0a"),
      of: hex("0b"),
      of_contributor: me,
      similarity_per_mille: 912,
    };
    const html = await drawKept({ batch, result: { accepted: 1, duplicates: [copy] } });
    expect(html).toContain("1 record accepted");
    expect(html).toContain("91.2 %");
    expect(html).toContain("See your records");
  });
});
