/** `GET /api/auth/me`. */
export interface Me {
  kind: string;
  userId: string;
  role?: "admin" | "user";
  sessionId?: string;
  expiresAt?: string;
  user?: { email: string; name: string | null };
}
