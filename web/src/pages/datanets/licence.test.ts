import { describe, expect, it } from "vitest";
import { expired, licenceLink, licencePoints, readForm, type TermsForm } from "./licence";

const NOW = 1_800_000_000;
const form = (part: Partial<TermsForm> = {}): TermsForm => ({
  name: "Solar",
  commercialUse: true,
  derivatives: true,
  attribution: true,
  floor: "",
  expiry: "",
  uri: "",
  ...part,
});

describe("the form of a new Datanet", () => {
  it("gives the terms that go on chain", () => {
    const read = readForm(form({ name: "  Solar ", floor: "12.5", uri: "https://example.org/l" }), NOW);
    expect(read).toEqual({
      name: "Solar",
      terms: {
        commercial_use: true,
        derivatives: true,
        attribution: true,
        revenue_floor_bps: 1250,
        expiry: 0,
        uri: "https://example.org/l",
      },
    });
  });

  it("lets a licence end with the chosen day", () => {
    const read = readForm(form({ expiry: "2030-12-31" }), NOW);
    expect("terms" in read && new Date((read.terms.expiry ?? 0) * 1000).toISOString()).toBe(
      "2030-12-31T23:59:59.000Z",
    );
  });

  it("names every field that the registry would refuse", () => {
    const wrong = form({
      name: "é".repeat(33),
      floor: "90.01",
      expiry: "2020-01-01",
      uri: "javascript:alert(1)",
    });
    expect(Object.keys(readForm(wrong, NOW)).sort()).toEqual(["expiry", "floor", "name", "uri"]);
    expect(readForm(form({ name: " " }), NOW)).toHaveProperty("name", "Give it a name.");
  });
});

describe("terms in words", () => {
  it("say what is not allowed", () => {
    const terms = { commercial_use: false, derivatives: false, attribution: false, revenue_floor_bps: 2500 };
    const points = licencePoints(terms);
    expect(points.filter((point) => !point.allowed)).toHaveLength(3);
    expect(points.map((point) => point.text).join(" ")).toContain("At least 25 %");
  });

  it("link to web pages only", () => {
    expect(licenceLink("https://example.org/a")).toBe("https://example.org/a");
    expect(licenceLink("javascript:alert(1)")).toBeNull();
    expect(licenceLink("ipfs://abc")).toBeNull();
    expect(licenceLink("")).toBeNull();
  });

  it("expire at their second, and never without one", () => {
    const terms = { commercial_use: true, derivatives: true, attribution: true };
    expect(expired({ ...terms, expiry: NOW }, NOW)).toBe(true);
    expect(expired({ ...terms, expiry: NOW + 1 }, NOW)).toBe(false);
    expect(expired(terms, NOW)).toBe(false);
  });
});
