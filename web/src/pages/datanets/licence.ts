/** Licence terms in plain words. */
import { formatTime } from "../../lib/format";
import type { LicenceTerms } from "./queries";

export interface LicencePoint {
  allowed: boolean;
  text: string;
}

/** Highest share that a licence may ask for; the registry refuses more. */
export const FLOOR_BPS_MAX = 9000;
/** Limits of the registry, in bytes. */
export const NAME_BYTES_MAX = 64;
export const URI_BYTES_MAX = 512;

/** What the terms allow and ask for, a sentence each. */
export function licencePoints(terms: LicenceTerms): LicencePoint[] {
  const { commercial_use, derivatives, attribution, revenue_floor_bps = 0, expiry = 0 } = terms;
  const points: LicencePoint[] = [
    derivatives
      ? { allowed: true, text: "Models may be trained on the records and published." }
      : { allowed: false, text: "No model trained on the records may be published." },
    commercial_use
      ? {
          allowed: true,
          text: "Models trained on them may charge for answers, and contributors are paid from it.",
        }
      : { allowed: false, text: "Models trained on them must be free, so contributors earn nothing." },
    attribution
      ? { allowed: true, text: "Contributors must be named by whoever uses the records." }
      : { allowed: false, text: "Contributors need not be named." },
  ];
  if (revenue_floor_bps > 0) {
    const text = `At least ${revenue_floor_bps / 100} % of each answer's fee goes to the contributors of the data.`;
    points.push({ allowed: true, text });
  }
  points.push(
    expiry === 0
      ? { allowed: true, text: "The licence holds for ever." }
      : { allowed: true, text: `The licence holds until ${formatTime(expiry)}; no new use after that.` },
  );
  return points;
}

/** In two or three words each, for tables. */
export function licenceBadges(terms: LicenceTerms): { text: string; warn: boolean }[] {
  return [
    terms.derivatives ? { text: "training", warn: false } : { text: "no models", warn: true },
    terms.commercial_use ? { text: "paid use", warn: false } : { text: "free use only", warn: true },
  ];
}

export function expired({ expiry = 0 }: LicenceTerms, nowSeconds: number): boolean {
  return expiry !== 0 && expiry <= nowSeconds;
}

/** The link to the full text, where it is one that a browser may follow. */
export function licenceLink(uri: string): string | null {
  try {
    const { protocol, href } = new URL(uri);
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null;
  }
}

/** The form of a new Datanet as typed. */
export interface TermsForm {
  name: string;
  commercialUse: boolean;
  derivatives: boolean;
  attribution: boolean;
  /** Per cent as typed; empty for none. */
  floor: string;
  /** A day as `2030-12-31`; empty for never. */
  expiry: string;
  uri: string;
}

export type FormErrors = Partial<Record<"name" | "floor" | "expiry" | "uri", string>>;

const bytes = (text: string) => new TextEncoder().encode(text).length;

/** Reads the form; what is wrong with it, field by field, where it cannot be read. */
export function readForm(
  form: TermsForm,
  nowSeconds: number,
): { terms: LicenceTerms; name: string } | FormErrors {
  const errors: FormErrors = {};
  const name = form.name.trim();
  if (name === "") errors.name = "Give it a name.";
  else if (bytes(name) > NAME_BYTES_MAX)
    errors.name = `The name is too long: at most ${NAME_BYTES_MAX} bytes.`;
  const floor = readPercent(form.floor);
  if (floor === null) errors.floor = `A number from 0 to ${FLOOR_BPS_MAX / 100}, with at most two decimals.`;
  const expiry = form.expiry === "" ? 0 : Date.parse(`${form.expiry}T23:59:59Z`) / 1000;
  if (Number.isNaN(expiry)) errors.expiry = "This is not a day.";
  else if (expiry !== 0 && expiry <= nowSeconds) errors.expiry = "This day is over.";
  const uri = form.uri.trim();
  if (bytes(uri) > URI_BYTES_MAX) errors.uri = `The link is too long: at most ${URI_BYTES_MAX} bytes.`;
  else if (uri !== "" && licenceLink(uri) === null)
    errors.uri = "This is not a link; it begins with https://.";
  if (Object.keys(errors).length > 0 || floor === null) return errors;
  const { commercialUse: commercial_use, derivatives, attribution } = form;
  return { name, terms: { commercial_use, derivatives, attribution, revenue_floor_bps: floor, expiry, uri } };
}

/** Per cent as typed, in basis points. */
function readPercent(text: string): number | null {
  const trimmed = text.trim().replace(/\s*%$/, "");
  if (trimmed === "") return 0;
  if (!/^\d{1,2}(?:\.\d{1,2})?$/.test(trimmed)) return null;
  const bps = Math.round(Number(trimmed) * 100);
  return bps <= FLOOR_BPS_MAX ? bps : null;
}

/** The terms as contracts take them. */
export function contractTerms(terms: LicenceTerms) {
  return {
    commercialUse: terms.commercial_use,
    derivatives: terms.derivatives,
    attribution: terms.attribution,
    revenueFloorBps: terms.revenue_floor_bps ?? 0,
    expiry: BigInt(terms.expiry ?? 0),
    uri: terms.uri ?? "",
  };
}
