/** Pages of other areas that these pages lead to. */
export const links = {
  model: (name: string) => `/models/${encodeURIComponent(name)}`,
  chat: (model: string) => `/chat?model=${encodeURIComponent(model)}`,
  train: (datanet: number) => `/factory/new?datanet=${datanet}`,
  earnings: "/earnings",
};
