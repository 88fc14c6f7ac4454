/** @type {import('next').NextConfig} */
const nextConfig = {
  // The folder lies within another project here.
  turbopack: { root: import.meta.dirname },
};

export default nextConfig;
