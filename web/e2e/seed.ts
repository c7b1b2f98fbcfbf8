/** A node on which something happened, by the command line: what the pages have to show. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type NodeUrls, openledger } from "./node";
import { fieldGuide } from "./records";

/** Development accounts, as `openledger up` lists them. */
const [BUILDER, PAYER, CONTRIBUTOR] = [3, 4, 5];
const MODEL = "seeded-guide";

interface Page<Row> {
  data: Row[];
}

export interface Seeded {
  datanet: number;
  record: string;
  job: number;
  model: string;
  receipt: string;
  contributor: string;
  transaction: string;
}

async function get<T>(node: NodeUrls, path: string): Promise<T> {
  const response = await fetch(`${node.gateway}${path}`);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** A Datanet with that name and those records; gives its number and the transaction that made it. */
export async function seedDatanet(node: NodeUrls, name: string, records: string) {
  const made = await openledger(node, BUILDER, "datanet", "--json", "create", name);
  const { datanet, transaction } = JSON.parse(made) as {
    datanet: { id: number };
    transaction: { hash: string };
  };
  const file = join(node.scratch, `records-${datanet.id}.jsonl`);
  writeFileSync(file, records);
  await openledger(node, CONTRIBUTOR, "datanet", "contribute", String(datanet.id), file);
  return { id: datanet.id, transaction: transaction.hash };
}

/** A model trained on a Datanet as it is, by a recipe that differs from the quick one as said; gives the job's number. */
export async function seedModel(
  node: NodeUrls,
  name: string,
  datanet: number,
  change: Record<string, unknown> = {},
): Promise<number> {
  await openledger(node, BUILDER, "datanet", "snapshot", String(datanet));
  const quick = ["train", "recipe", name, "--datanet", String(datanet), "--preset", "quick"];
  const recipe = JSON.parse(await openledger(node, BUILDER, ...quick)) as object;
  const file = join(node.scratch, `recipe-${name}.json`);
  writeFileSync(file, JSON.stringify({ ...recipe, ...change }));
  const job = JSON.parse(await openledger(node, BUILDER, "train", "--json", "start", "--detach", file)) as {
    id: number;
  };
  await finished(node, job.id);
  await openledger(node, BUILDER, "train", "publish", String(job.id), "--name", name);
  return job.id;
}

/** A Datanet, a model trained on it, and a paid answer. Done once; later calls find what is there. */
export async function seed(node: NodeUrls): Promise<Seeded> {
  const marker = join(node.scratch, "seeded.json");
  if (existsSync(marker)) return JSON.parse(readFileSync(marker, "utf8")) as Seeded;
  const { id, transaction } = await seedDatanet(node, "Seeded field guide", fieldGuide("Grace"));
  const job = await seedModel(node, MODEL, id);
  const chat = ["chat", "--json", "--model", MODEL, "--max-tokens", "12", "Which bird lives in the meadow?"];
  const answer = JSON.parse(await openledger(node, PAYER, ...chat)) as { receipt: string };
  const records = await get<Page<{ hash: string; contributor: string }>>(node, `/v1/datanets/${id}/records`);
  const [record] = records.data;
  if (record === undefined) throw new Error("the seeded Datanet has no record");
  const seeded: Seeded = {
    datanet: id,
    record: record.hash,
    job,
    model: MODEL,
    receipt: answer.receipt,
    contributor: record.contributor,
    transaction,
  };
  writeFileSync(marker, JSON.stringify(seeded));
  return seeded;
}

async function finished(node: NodeUrls, job: number): Promise<void> {
  const until = Date.now() + 120_000;
  for (;;) {
    const { state, error } = await get<{ state: string; error?: string | null }>(
      node,
      `/v1/fine_tuning/jobs/${job}`,
    );
    if (state === "done") return;
    if (!["queued", "running"].includes(state) || Date.now() > until)
      throw new Error(`job ${job}: ${state} ${error}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Every page of the web app, by a name, with something to show on it. */
export function pagesOf(seeded: Seeded): Record<string, string> {
  const { datanet, record, job, model, receipt, contributor, transaction } = seeded;
  return {
    home: "/",
    account: "/account",
    datanets: "/datanets",
    "datanet-new": "/datanets/new",
    datanet: `/datanets/${datanet}`,
    "datanet-contributors": `/datanets/${datanet}/contributors`,
    "datanet-snapshots": `/datanets/${datanet}/snapshots`,
    "datanet-models": `/datanets/${datanet}/models`,
    "datanet-contribute": `/datanets/${datanet}/contribute`,
    record: `/datanets/${datanet}/records/${record}`,
    factory: "/factory",
    "factory-new": `/factory/new?datanet=${datanet}`,
    job: `/factory/jobs/${job}`,
    models: "/models",
    model: `/models/${model}`,
    chat: `/chat/${model}`,
    earnings: "/earnings",
    "earnings-account": `/earnings/${contributor}`,
    explorer: "/explorer",
    block: "/explorer/block/1",
    transaction: `/explorer/tx/${transaction}`,
    address: `/explorer/address/${contributor}`,
    epoch: "/explorer/epoch/1",
    receipt: `/explorer/receipt/${receipt}`,
    operator: "/operator",
    nowhere: "/no/such/page",
  };
}
