import { expect, test } from "vitest";
import { firstSteps, nextStep, type Standing } from "./steps";

const NEW: Standing = {
  balance: 0n,
  faucet: true,
  signedIn: false,
  datanet: null,
  model: null,
  earned: 0n,
  claimed: 0n,
};
const next = (standing: Partial<Standing>) => nextStep(firstSteps({ ...NEW, ...standing }));

test("each thing done leads to the next", () => {
  const datanet = { id: 7, records: 0, snapshots: 0 };
  const balance = 1n;
  const way: Partial<Standing>[] = [
    {},
    { balance },
    { balance, datanet },
    { balance, datanet: { ...datanet, records: 8 } },
    { balance, datanet: { ...datanet, records: 8, snapshots: 1 } },
    { balance, datanet: { ...datanet, records: 8, snapshots: 1 }, signedIn: true },
    { balance, datanet: { ...datanet, records: 8, snapshots: 1 }, signedIn: true, model: "a b" },
    { balance, datanet: { ...datanet, records: 8, snapshots: 1 }, signedIn: true, model: "a b", earned: 1n },
  ];
  expect(way.map((standing) => next(standing)?.to)).toEqual([
    "/account",
    "/datanets/new",
    "/datanets/7/contribute",
    "/datanets/7/snapshots",
    "/account",
    "/factory/new?datanet=7",
    "/chat/a%20b",
    "/earnings",
  ]);
});

test("whoever signs in first is still led to a Datanet", () => {
  expect(next({ signedIn: true })?.name).toBe("Get coins");
  expect(next({ signedIn: true, balance: 1n })?.name).toBe("Create a Datanet");
});

test("who claimed has done it all", () => {
  expect(next({ claimed: 1n })).toBeNull();
});
