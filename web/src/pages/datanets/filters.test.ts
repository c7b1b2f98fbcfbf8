import { describe, expect, it } from "vitest";
import {
  acceptance,
  chosenValue,
  columnFilter,
  cutSearch,
  rangeValue,
  readFilter,
  sortDatanets,
  writeFilter,
} from "./filters";
import type { Datanet } from "./queries";

const address = "0x00000000000000000000000000000000000000a1";

const datanet = (id: number, part: Partial<Datanet> = {}): Datanet => ({
  id,
  owner: address,
  name: `Datanet ${id}`,
  licence_hash: "0x00",
  terms: { commercial_use: true, derivatives: true, attribution: true },
  similarity_per_mille: 700,
  records_offered: 0,
  records_accepted: 0,
  contributors: 0,
  snapshots: 0,
  models: 0,
  income_wei: "0",
  ...part,
});

describe("filters in the address", () => {
  it("come back as they were written", () => {
    const filter = {
      search: "a & b",
      contributor: address,
      status: "accepted",
      column: "turns",
      value: "1..3",
    };
    expect(readFilter(new URLSearchParams(writeFilter(filter).toString()))).toEqual(filter);
  });

  it("leave out what the node would refuse", () => {
    const read = readFilter(new URLSearchParams("contributor=nobody&column=turns&search=&status=pending"));
    expect(read).toEqual({ status: "pending" });
  });

  it("cut a search at the node's limit without breaking a character", () => {
    const cut = cutSearch("ä".repeat(200));
    expect(cut).toBe("ä".repeat(128));
  });
});

describe("filters by column", () => {
  it("use a parameter of their own where there is one, beside the other filters", () => {
    const byLength = columnFilter({ search: "x" }, "prompt_length", rangeValue({ from: 3, to: 9 }));
    const both = columnFilter(byLength, "status", "duplicate");
    expect(both).toEqual({ search: "x", column: "prompt_length", value: "3..9", status: "duplicate" });
    expect(chosenValue(both, "prompt_length")).toBe("3..9");
    expect(chosenValue(both, "status")).toBe("duplicate");
    expect(chosenValue(both, "response")).toBeNull();
  });

  it("go away alone", () => {
    const filter = { column: "turns", value: "2..2", contributor: address };
    expect(columnFilter(filter, "turns", null)).toEqual({ contributor: address });
    expect(columnFilter(filter, "contributor", null)).toEqual({ column: "turns", value: "2..2" });
  });
});

describe("sorting", () => {
  const rows = [
    datanet(1, { records_offered: 10, records_accepted: 5, income_wei: "9" }),
    datanet(2, { records_offered: 4, records_accepted: 4, income_wei: "10000000000000000000000" }),
    datanet(3),
  ];
  const order = (sort: Parameters<typeof sortDatanets>[1]) => sortDatanets(rows, sort).map((row) => row.id);

  it("orders amounts as numbers, and ties by the newest", () => {
    expect(order("income")).toEqual([2, 1, 3]);
    expect(order("contributors")).toEqual([3, 2, 1]);
    expect(order("oldest")).toEqual([1, 2, 3]);
  });

  it("puts Datanets without offers behind all others by acceptance", () => {
    expect(acceptance(datanet(3))).toBeNull();
    expect(order("acceptance")).toEqual([2, 1, 3]);
  });
});
