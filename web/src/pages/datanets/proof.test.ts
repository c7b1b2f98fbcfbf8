import { concat, encodePacked, type Hex, keccak256, stringToHex } from "viem";
import { describe, expect, it } from "vitest";
import { checkRecord, verdict } from "./proof";
import type { RecordDetail } from "./queries";

const salt = `0x${"33".repeat(32)}` as Hex;
const hash = keccak256(concat([salt, stringToHex('{"text":"a"}')]));
const other = `0x${"22".repeat(32)}` as Hex;
const contributor = "0x00000000000000000000000000000000000000a1";
const leaf = encodePacked(["uint64", "bytes32", "address", "uint64"], [1n, hash, contributor, 7n]);
const root = keccak256(concat(["0x01", other, keccak256(concat(["0x00", leaf]))]));

const record = (part: Partial<RecordDetail> = {}): RecordDetail => ({
  hash,
  datanet: 1,
  commitment: other,
  index: 0,
  contributor,
  status: "accepted",
  reason: null,
  cluster: 7,
  kind: "text",
  body: { text: "a" },
  salt,
  earned_wei: "0",
  snapshots: [{ snapshot: 3, root, index: 1, leaf, proof: { index: 1, size: 2, siblings: [other] } }],
  ...part,
});

const held = (found: RecordDetail, chainRoot: Hex | null) =>
  checkRecord(found, chainRoot).map((check) => check.holds);

describe("a record's proof", () => {
  it("holds where leaf, path and chain agree", () => {
    expect(held(record(), root)).toEqual([true, true, true, true]);
    expect(verdict(checkRecord(record(), root)).tone).toBe("info");
  });

  it("fails for another contributor, another cluster, another root on chain", () => {
    expect(held(record({ contributor: "0x00000000000000000000000000000000000000a2" }), root)).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(held(record({ cluster: 8 }), root)).toEqual([true, false, false, true]);
    expect(held(record(), other)).toEqual([true, true, true, false]);
    expect(verdict(checkRecord(record(), other)).tone).toBe("danger");
  });

  it("fails for another text, and cannot be made for one that was taken back", () => {
    expect(held(record({ body: { text: "b" } }), root)).toEqual([false, true, true, true]);
    expect(held(record({ salt: other }), root)).toEqual([false, true, true, true]);
    expect(held(record({ salt: null, status: "revoked" }), root)).toEqual([null, true, true, true]);
  });

  it("says what cannot be checked instead of claiming it", () => {
    expect(held(record(), null)).toEqual([true, true, true, null]);
    expect(verdict(checkRecord(record(), null)).tone).toBe("warn");
    expect(held(record({ snapshots: [] }), root)).toEqual([true, null]);
  });
});
