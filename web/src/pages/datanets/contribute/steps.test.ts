import type { Hex } from "viem";
import { describe, expect, it } from "vitest";
import { commitmentHash, consentDigest } from "../../../chain/typed-data";
import type { PreparedBatch } from "../queries";
import { checkBatch, nextStep, resumed, stepState } from "./steps";

const hex = (byte: string) => `0x${byte.repeat(32)}` as Hex;
const contributor = "0x00000000000000000000000000000000000000a1";
const registry = { chainId: 161201, contract: "0x4f50454e00000000000000000000000000000002" } as const;
const named = { datanetId: 1n, contributor, batchRoot: hex("01"), recordCount: 2 } as const;
const licenceHash = hex("03");

const batch: PreparedBatch = {
  datanet: 1,
  contributor,
  batch_root: named.batchRoot,
  record_count: 2,
  salt: hex("02"),
  commitment: commitmentHash({ ...named, salt: hex("02") }, registry),
  licence_hash: licenceHash,
  consent_digest: consentDigest({ ...named, licenceHash }, registry),
};
const wanted = { datanet: 1, contributor, licenceHash, registry };

describe("where a contribution stands", () => {
  const blank = { batch: null, consent: null, result: null };
  const committed = { priority: 4, revealed: false };

  it("is asked of the chain before what this browser remembers", () => {
    expect(nextStep(blank, null)).toBe("prepare");
    expect(nextStep({ ...blank, batch }, { priority: 0, revealed: false })).toBe("commit");
    expect(nextStep({ ...blank, batch }, committed)).toBe("consent");
    expect(nextStep({ ...blank, batch, consent: "0x01" }, committed)).toBe("reveal");
    expect(nextStep({ ...blank, batch, consent: "0x01" }, { ...committed, revealed: true })).toBe("accept");
    expect(nextStep({ ...blank, batch, result: { accepted: 1, duplicates: [] } }, null)).toBe("done");
  });

  it("marks what is behind as done", () => {
    expect(stepState("commit", "reveal")).toBe("done");
    expect(stepState("reveal", "reveal")).toBe("now");
    expect(stepState("accept", "reveal")).toBe("todo");
    expect(stepState("accept", "done")).toBe("done");
  });
});

describe("a batch begun elsewhere", () => {
  const here = { chain: 161201, datanet: 1, address: contributor } as const;
  const stored = { ...batch, state: "committed", priority: 4 } as const;

  it("goes on where the chain says it stopped", () => {
    const found = resumed(stored, here);
    expect(found).toMatchObject({ upload: batch.commitment, batch, consent: null, result: null });
    expect(nextStep(found, { priority: 4, revealed: false })).toBe("consent");
  });

  it("is refused to another account, and on another Datanet's page", () => {
    const other = "0x00000000000000000000000000000000000000a2";
    expect(() => resumed(stored, { ...here, address: other })).toThrow("switch to that account");
    expect(() => resumed(stored, { ...here, datanet: 2 })).toThrow("Datanet 1");
  });
});

describe("a batch before it is signed", () => {
  it("passes when all of it fits", () => {
    expect(() => checkBatch(batch, wanted)).not.toThrow();
  });

  it.each([
    ["another Datanet", { datanet: 2 }],
    ["another account", { contributor: "0x00000000000000000000000000000000000000a2" as const }],
    ["another licence", { licence_hash: hex("09") }],
    ["commitment", { salt: hex("09") }],
    ["another signature", { consent_digest: hex("09") }],
  ])("is refused for %s", (words, change) => {
    expect(() => checkBatch({ ...batch, ...change }, wanted)).toThrow(words);
  });
});
