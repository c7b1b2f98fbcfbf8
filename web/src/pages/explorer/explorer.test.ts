import { encodeAbiParameters, encodeEventTopics, encodeFunctionData } from "viem";
import { describe, expect, it } from "vitest";
import { datanetRegistryAbi, inferenceHubAbi } from "../../chain/abis";
import { toCsv } from "./csv";
import { decodeCall, decodeEvent, inline, knownContracts, topicOf, wordsOf } from "./decode";
import { type Match, place } from "./search";

const hub = "0x4F50454E00000000000000000000000000000004" as const;
const registry = "0x4F50454E00000000000000000000000000000002" as const;
const account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8" as const;
const known = knownContracts({
  contracts: {
    wrappedOpen: "0x4F50454E00000000000000000000000000000001",
    datanetRegistry: registry,
    modelRegistry: "0x4F50454E00000000000000000000000000000003",
    inferenceHub: hub,
    stakerPool: "0x4F50454E00000000000000000000000000000005",
    receiptJudge: "0x4F50454E00000000000000000000000000000006",
  },
});
const hash = `0x${"ab".repeat(32)}` as const;

describe("a call", () => {
  const data = encodeFunctionData({
    abi: inferenceHubAbi,
    functionName: "claim",
    args: [account, 5n, 1n, [{ hash, sum: 7n }]],
  });

  it("is read with the names of its arguments", () => {
    const call = decodeCall(known, hub, data);
    expect(call?.name).toBe("claim");
    expect(call?.what).toContain("earned");
    expect(call?.args.map(({ name, text }) => [name, text])).toEqual([
      ["account", account],
      ["cumulative", "5"],
      ["index", "1"],
      ["siblings", null],
    ]);
    expect(call?.args[1]?.meaning).toBe("wei");
    expect(call?.args[3]?.parts[0]?.parts.map(({ name, text }) => [name, text])).toEqual([
      ["hash", hash],
      ["sum", "7"],
    ]);
  });

  it("of an unknown contract, or cut off, is not guessed", () => {
    expect(decodeCall(known, account, data)).toBeNull();
    expect(decodeCall(known, null, data)).toBeNull();
    expect(decodeCall(known, hub, "0x")).toBeNull();
    expect(decodeCall(known, hub, data.slice(0, 60) as `0x${string}`)).toBeNull();
    expect(decodeCall(known, hub, "0xdeadbeef")).toBeNull();
  });
});

describe("an event", () => {
  const topics = encodeEventTopics({
    abi: inferenceHubAbi,
    eventName: "Claimed",
    args: { account },
  }) as `0x${string}`[];
  const data = encodeAbiParameters([{ type: "uint128" }, { type: "uint128" }], [3n, 9n]);

  it("is read with indexed and other fields", () => {
    const event = decodeEvent(known, { address: hub, topics, data });
    expect(event?.name).toBe("Claimed");
    expect(inline(event?.args ?? [])).toBe(`account=${account} amount=3 cumulative=9`);
    expect(topics[1]).toBe(topicOf(account));
  });

  it("of another contract or with broken data is not guessed", () => {
    expect(decodeEvent(known, { address: account, topics, data })).toBeNull();
    expect(decodeEvent(known, { address: registry, topics, data })).toBeNull();
    expect(decodeEvent(known, { address: hub, topics, data: "0x01" })).toBeNull();
    expect(decodeEvent(known, { address: hub, topics: [], data })).toBeNull();
  });

  it("with structs keeps their names", () => {
    const item = datanetRegistryAbi.find((one) => one.type === "event" && one.name === "DatanetCreated");
    expect(item).toBeDefined();
    const created = encodeEventTopics({
      abi: datanetRegistryAbi,
      eventName: "DatanetCreated",
      args: { datanetId: 3n, owner: account },
    }) as `0x${string}`[];
    const body = encodeAbiParameters(
      item?.type === "event" ? item.inputs.filter((one) => !one.indexed) : [],
      [
        hash,
        "<b>tides</b>",
        {
          commercialUse: true,
          derivatives: true,
          attribution: true,
          revenueFloorBps: 100,
          expiry: 0n,
          uri: "",
        },
        "policy",
      ] as never,
    );
    const event = decodeEvent(known, { address: registry, topics: created, data: body });
    const terms = event?.args.find(({ name }) => name === "terms");
    expect(event?.args.find(({ name }) => name === "name")?.text).toBe("<b>tides</b>");
    expect(terms?.parts.find(({ name }) => name === "revenueFloorBps")).toMatchObject({
      text: "100",
      meaning: "bps",
    });
  });

  it("has a name in words", () => {
    expect(wordsOf("EpochPosted")).toBe("Epoch posted");
  });
});

describe("a match of a search", () => {
  it("leads to the page of what was found", () => {
    const cases: [Match, string][] = [
      [{ kind: "block", number: 7 }, "/explorer/block/7"],
      [{ kind: "transaction", hash, block: null }, `/explorer/tx/${hash}`],
      [{ kind: "address", address: account }, `/explorer/address/${account}`],
      [{ kind: "receipt", hash }, `/explorer/receipt/${hash}`],
      [{ kind: "record", hash, datanet: 3 }, `/datanets/3/records/${hash}`],
      [{ kind: "model", id: null, name: "a b" }, "/models/a%20b"],
      [{ kind: "datanet", id: 3, name: "<b>tides</b>" }, "/datanets/3"],
      [{ kind: "epoch", number: 2 }, "/explorer/epoch/2"],
    ];
    for (const [match, to] of cases) expect(place(match).to).toBe(to);
  });
});

describe("a table as a file", () => {
  it("quotes what needs it", () => {
    expect(
      toCsv(
        ["a", "b"],
        [
          ['say "hi"', 12n],
          ["x,y", null],
        ],
      ),
    ).toBe('a,b\r\n"say ""hi""",12\r\n"x,y",\r\n');
  });

  it("holds nothing that a spreadsheet would run", () => {
    expect(toCsv(["a"], [["=1+1"], ["  @x"], [-1]])).toBe("a\r\n'=1+1\r\n'  @x\r\n-1\r\n");
  });
});
