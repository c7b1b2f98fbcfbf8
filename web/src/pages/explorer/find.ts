/** Finds what a search means, by asking chain and node. */
import { queryOptions } from "@tanstack/react-query";
import type { Hex } from "viem";
import { getBlock, getBlockNumber, getTransaction } from "viem/actions";
import { api, body } from "../../api/client";
import { keys } from "../../api/keys";
import type { ChainInfo } from "../../chain/client";
import { shortHex } from "../../lib/format";
import { links } from "./links";
import { orNull } from "./queries";
import { searchTargets, type Target } from "./search";

export interface Found {
  what: string;
  label: string;
  to: string;
}

/** Datanets that are listed for a name. */
const DATANETS_MAX = 10;

async function findNumber(
  { client }: ChainInfo,
  { kind, number }: Extract<Target, { number: number }>,
): Promise<Found[]> {
  if (kind === "block") {
    const head = await getBlockNumber(client);
    return BigInt(number) > head ? [] : [{ what: "Block", label: String(number), to: links.block(number) }];
  }
  if (kind === "epoch") {
    const query = { after: Math.max(0, number - 1), limit: 1 };
    const { data } = await body(api.GET("/v1/epochs", { params: { query } }));
    const there = data.some((epoch) => epoch.number === number);
    return there ? [{ what: "Epoch", label: String(number), to: links.epoch(number) }] : [];
  }
  const found = await orNull(body(api.GET("/v1/datanets/{id}", { params: { path: { id: number } } })));
  return found === null ? [] : [{ what: `Datanet ${number}`, label: found.name, to: links.datanet(number) }];
}

async function findHash({ client }: ChainInfo, hash: Hex): Promise<Found[]> {
  const label = shortHex(hash);
  const [transaction, block, receipt, record, models] = await Promise.all([
    orNull(getTransaction(client, { hash })),
    orNull(getBlock(client, { blockHash: hash })),
    orNull(body(api.GET("/v1/receipts/{hash}", { params: { path: { hash } } }))),
    orNull(body(api.GET("/v1/records/{hash}", { params: { path: { hash } } }))),
    body(api.GET("/v1/models")),
  ]);
  const model = models.data.find((one) => one.openledger.model_id?.toLowerCase() === hash);
  return [
    ...(transaction ? [{ what: "Transaction", label, to: links.transaction(hash) }] : []),
    ...(block ? [{ what: "Block", label: String(block.number), to: links.block(block.number) }] : []),
    ...(receipt ? [{ what: "Receipt", label, to: links.receipt(hash) }] : []),
    ...(record ? [{ what: "Record", label, to: `${links.datanet(record.datanet)}/records/${hash}` }] : []),
    ...(model ? [{ what: "Model", label: model.id, to: links.model(model.id) }] : []),
  ];
}

async function findName(name: string): Promise<Found[]> {
  const wanted = name.toLowerCase();
  const [models, datanets] = await Promise.all([
    body(api.GET("/v1/models")),
    body(api.GET("/v1/datanets", { params: { query: { search: name, limit: DATANETS_MAX } } })),
  ]);
  return [
    ...models.data
      .filter((model) => model.id.toLowerCase().includes(wanted))
      .map((model) => ({ what: "Model", label: model.id, to: links.model(model.id) })),
    ...datanets.data.map((one) => ({
      what: `Datanet ${one.id}`,
      label: one.name,
      to: links.datanet(one.id),
    })),
  ];
}

function findTarget(info: ChainInfo, target: Target): Promise<Found[]> {
  switch (target.kind) {
    case "address":
      return Promise.resolve([
        { what: "Address", label: shortHex(target.address), to: links.address(target.address) },
      ]);
    case "hash":
      return findHash(info, target.hash);
    case "name":
      return findName(target.name);
    default:
      return findNumber(info, target);
  }
}

export const searchQuery = (info: ChainInfo, text: string) =>
  queryOptions({
    queryKey: [...keys.chain, info.chain.id, "search", text],
    queryFn: async () => {
      const found = (await Promise.all(searchTargets(text).map((target) => findTarget(info, target)))).flat();
      // A number may also be part of a name: each place is named once.
      return [...new Map(found.map((one) => [one.to, one])).values()];
    },
    staleTime: 30_000,
  });
