import type { ReactNode } from "react";
import { Badge, Facts } from "../ui/values";

export interface SignatureSummary {
  /** What it does, in a sentence. */
  what: ReactNode;
  /** What it costs; "Nothing" where it is free. */
  cost: ReactNode;
  /** A message that only its reader sees, or a transaction that everyone sees. */
  where: "off chain" | "on chain";
  /** What is signed, field by field, in words. */
  fields?: readonly (readonly [string, ReactNode])[];
}

/** What is about to be signed: what it does, what it costs, and whether it is on chain. */
export function SignatureCard({ what, cost, where, fields = [] }: SignatureSummary) {
  return (
    <div className="grid gap-4 text-sm">
      <p>{what}</p>
      <Facts
        rows={[
          ["Costs", cost],
          [
            "Where",
            where === "on chain" ? (
              <span key="where">
                <Badge tone="warn">on chain</Badge> a transaction: public, and final once it is in a block
              </span>
            ) : (
              <span key="where">
                <Badge tone="accent">off chain</Badge> a signed message: no transaction, no fee
              </span>
            ),
          ],
          ...fields,
        ]}
      />
    </div>
  );
}
