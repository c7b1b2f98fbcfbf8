import { encodeErrorResult } from "viem";
import { expect, it } from "vitest";
import { datanetRegistryAbi, inferenceHubAbi, stakerPoolAbi } from "./abis";
import { decodeRevert, describeRevert } from "./errors";

it("says what our contracts refuse in sentences", () => {
  const curator = encodeErrorResult({
    abi: datanetRegistryAbi,
    errorName: "DatanetRegistry_NotCurator",
    args: [7n, "0x1111111111111111111111111111111111111111"],
  });
  expect(decodeRevert(curator)).toBe("Only the Datanet's owner and its curators may do that.");
  const channel = encodeErrorResult({
    abi: inferenceHubAbi,
    errorName: "InferenceHub_InsufficientChannel",
    args: [`0x${"01".repeat(32)}`, 3n * 10n ** 18n, 10n ** 18n],
  });
  expect(decodeRevert(channel)).toBe("The channel has 1 OPEN available; 3 OPEN were asked for.");
});

it("names errors without a sentence of their own, with their values", () => {
  const notHub = encodeErrorResult({
    abi: stakerPoolAbi,
    errorName: "StakerPool_NotHub",
    args: ["0x1111111111111111111111111111111111111111"],
  });
  expect(decodeRevert(notHub)).toBe("Not Hub (0x1111111111111111111111111111111111111111).");
  expect(describeRevert("ModelRegistry_ZeroHash", [])).toBe("Zero Hash.");
  expect(decodeRevert("0xdeadbeef")).toBeNull();
});
