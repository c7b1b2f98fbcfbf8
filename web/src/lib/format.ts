/** Numbers, amounts and times as people read them. */

const WEI_PER_OPEN = 10n ** 18n;
/** Below this, amounts are written in wei: as OPEN they would be nothing but zeros. */
const TINY_WEI = 10n ** 6n;
const INTEGER = new Intl.NumberFormat("en");

export function formatInteger(value: number | bigint): string {
  return INTEGER.format(value);
}

/** Exact OPEN, without trailing zeros. */
export function openExact(wei: bigint): string {
  const sign = wei < 0n ? "-" : "";
  const amount = wei < 0n ? -wei : wei;
  const fraction = (amount % WEI_PER_OPEN).toString().padStart(18, "0").replace(/0+$/, "");
  return `${sign}${INTEGER.format(amount / WEI_PER_OPEN)}${fraction === "" ? "" : `.${fraction}`}`;
}

/**
 * OPEN to four significant digits behind the leading zeros, cut and never rounded up: nobody is shown more than
 * there is. Amounts too small for that are given in wei.
 */
export function formatOpen(wei: bigint): { amount: string; unit: "OPEN" | "wei" } {
  const size = wei < 0n ? -wei : wei;
  if (size !== 0n && size < TINY_WEI) return { amount: INTEGER.format(wei), unit: "wei" };
  const [whole = "0", fraction = ""] = openExact(wei).split(".");
  if (fraction === "") return { amount: whole, unit: "OPEN" };
  const zeros = fraction.length - fraction.replace(/^0+/, "").length;
  const digits = whole === "0" || whole === "-0" ? zeros + 4 : whole.length > 3 ? 2 : 4;
  const cut = fraction.slice(0, digits).replace(/0+$/, "");
  return { amount: cut === "" ? whole : `${whole}.${cut}`, unit: "OPEN" };
}

/** OPEN as typed, to wei; null when it is not an amount. */
export function parseOpen(text: string): bigint | null {
  const match = /^(\d{1,12})(?:[.](\d{1,18}))?$/.exec(text.trim().replace(/[, ]/g, ""));
  if (match === null) return null;
  return BigInt(match[1] ?? "0") * WEI_PER_OPEN + BigInt((match[2] ?? "").padEnd(18, "0"));
}

/** `0x1234…abcd`. */
export function shortHex(hex: string, characters = 4): string {
  return hex.length <= 2 * characters + 3 ? hex : `${hex.slice(0, characters + 2)}…${hex.slice(-characters)}`;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** "3 minutes ago", from Unix seconds. */
export function formatAgo(seconds: number, nowMs: number): string {
  const past = seconds - nowMs / 1000;
  const unit = UNITS.find(([, length]) => Math.abs(past) >= length);
  return unit ? RELATIVE.format(Math.round(past / unit[1]), unit[0]) : past > 5 ? "in seconds" : "just now";
}

export function formatTime(seconds: number): string {
  return ABSOLUTE.format(seconds * 1000);
}

/** "2 h 5 min", "40 s". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes > 0) return rest > 0 && minutes < 10 ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${rest} s`;
}

const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB"];

export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${BYTE_UNITS[unit]}`;
}

/** Per mille or a fraction as per cent. */
export function formatPercent(fraction: number, digits = 0): string {
  return `${(fraction * 100).toFixed(digits)} %`;
}

/** "1 record", "2 records". */
export function count(value: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${formatInteger(value)} ${value === 1 || value === 1n ? noun : plural}`;
}
