/** Pages that the pages of models lead to. */
export const links = {
  model: (name: string) => `/models/${encodeURIComponent(name)}`,
  chat: (name: string) => `/chat?model=${encodeURIComponent(name)}`,
  datanet: (id: number) => `/datanets/${id}`,
  snapshots: (id: number) => `/datanets/${id}/snapshots`,
};
