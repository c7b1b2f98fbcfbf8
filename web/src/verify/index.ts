export * from "./evidence";
export * from "./merkle";
export * from "./payouts";
export * from "./receipt";
export * from "./record";
export * from "./snapshot";
