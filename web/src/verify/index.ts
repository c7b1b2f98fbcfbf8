export * from "./merkle";
export * from "./receipt";
export * from "./record";
export * from "./snapshot";
