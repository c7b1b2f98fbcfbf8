/** Sums over what an account earned. */
import { formatDuration } from "../../lib/format";
import type { EarningsPart, Epoch, StatementLine } from "./queries";

export interface EpochSum {
  epoch: number;
  wei: bigint;
  answers: number;
}

/** What each epoch brought, the first one first. */
export function byEpoch(lines: readonly Pick<StatementLine, "epoch" | "amount">[]): EpochSum[] {
  const sums = new Map<number, EpochSum>();
  for (const { epoch, amount } of lines) {
    const sum = sums.get(epoch) ?? { epoch, wei: 0n, answers: 0 };
    sums.set(epoch, { epoch, wei: sum.wei + BigInt(amount), answers: sum.answers + 1 });
  }
  return [...sums.values()].sort((one, other) => one.epoch - other.epoch);
}

/** A page of a statement: lines from the newest on, and where the next one begins. */
export interface StatementPage {
  data: readonly Pick<StatementLine, "epoch" | "amount">[];
  next_after: number | null;
}

export interface WaitingSums {
  sums: EpochSum[];
  /** False where there are more lines than were read, so that an epoch may bring more than its sum says. */
  whole: boolean;
}

/** What each epoch behind `lastFinal` brings: reads a statement until it comes to lines that are final. */
export async function sumWaiting(
  read: (after: number | null) => Promise<StatementPage>,
  lastFinal: number,
  pagesMax: number,
): Promise<WaitingSums> {
  const waiting: StatementPage["data"][] = [];
  let after: number | null = null;
  for (let page = 0; page < pagesMax; page += 1) {
    const { data, next_after }: StatementPage = await read(after);
    const lines = data.filter(({ epoch }) => epoch > lastFinal);
    waiting.push(lines);
    after = next_after;
    if (after === null || lines.length < data.length) return { sums: byEpoch(waiting.flat()), whole: true };
  }
  return { sums: byEpoch(waiting.flat()), whole: false };
}

/** Sums with their running total. */
export function cumulate(sums: readonly EpochSum[]): bigint[] {
  let total = 0n;
  return sums.map(({ wei }) => {
    total += wei;
    return total;
  });
}

/** Units for drawing, so that an axis has short numbers. */
const UNITS: readonly { name: string; wei: number }[] = [
  { name: "OPEN", wei: 1e18 },
  { name: "thousandths of an OPEN", wei: 1e15 },
  { name: "millionths of an OPEN", wei: 1e12 },
  { name: "billionths of an OPEN", wei: 1e9 },
];
const WEI = { name: "wei", wei: 1 };

/** The largest unit in which `most` is at least a tenth. */
export function unitFor(most: bigint): { name: string; wei: number } {
  return UNITS.find(({ wei }) => Number(most) >= wei / 10) ?? WEI;
}

const DRAWN = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export function drawn(value: number): string {
  return DRAWN.format(value);
}

/** What an epoch that is not final waits for, and how long at least. */
export function timeLeft(
  epoch: Pick<Epoch, "state" | "final_at"> | undefined,
  nowS: number,
  windowS: number,
): string {
  const window = windowS > 0 ? `, then ${formatDuration(windowS)} for challenges` : "";
  switch (epoch?.state) {
    case undefined:
      return "not known";
    case "open":
      return `until the operator closes the epoch${window}`;
    case "sealed":
    case "closed":
      return `until the operator posts it on chain${window}`;
    case "posted":
      return epoch.final_at !== null && epoch.final_at > nowS
        ? `${formatDuration(epoch.final_at - nowS)} for challenges`
        : "any moment now: the window has ended";
    case "final":
      return "nothing: it is final";
    default:
      return "not known";
  }
}

const ROLES: Record<EarningsPart["role"], { name: string; about: string }> = {
  influence: { name: "Contributor, by influence", about: "records shaped the answer" },
  provenance: { name: "Contributor, by quotation", about: "the answer repeats records" },
  reserve: { name: "Contributor, by reserve", about: "no record stood out, so all accepted ones were paid" },
  builder: { name: "Builder", about: "trained and published the model" },
  parent: { name: "Builder of a parent", about: "built a model that it descends from" },
  operator: { name: "Operator", about: "ran the model" },
};

export function roleOf(role: EarningsPart["role"]): { name: string; about: string } {
  return ROLES[role];
}

/** The model's id where it has no name here. */
export function isModelId(model: string): boolean {
  return /^0x[0-9a-f]{64}$/i.test(model);
}

/** Text of a record for one line of a table: what its contributor wrote, so nothing but text. */
export function excerpt(body: unknown, characters = 120): string {
  const text = texts(body).join(" · ").replace(/\s+/g, " ").trim();
  const points = [...text];
  return points.length <= characters ? text : `${points.slice(0, characters - 1).join("")}…`;
}

/** Depth to which a record's body is looked through. */
const DEPTH_MAX = 6;

function texts(value: unknown, depth = 0): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null || depth >= DEPTH_MAX) return [];
  if (Array.isArray(value)) return value.flatMap((item) => texts(item, depth + 1));
  // The role of a message says nothing about its text.
  return Object.entries(value).flatMap(([name, inner]) => (name === "role" ? [] : texts(inner, depth + 1)));
}
