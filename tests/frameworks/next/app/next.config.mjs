/** @type {import('next').NextConfig} */
const nextConfig = {
  // Here, the folder is inside another project.
  turbopack: { root: import.meta.dirname },
};

export default nextConfig;
