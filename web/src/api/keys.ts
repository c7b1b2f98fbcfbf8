/** Keys of the query cache: the first part names the resource, so that an event refreshes all that hangs on it. */
export const keys = {
  status: ["status"] as const,
  session: ["session"] as const,
  models: ["models"] as const,
  datanets: ["datanets"] as const,
  records: ["records"] as const,
  jobs: ["jobs"] as const,
  receipts: ["receipts"] as const,
  epochs: ["epochs"] as const,
  accounts: ["accounts"] as const,
  operator: ["operator"] as const,
  /** Everything read from the chain itself. */
  chain: ["chain"] as const,
};
