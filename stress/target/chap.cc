#include "stress/target/chap.h"

#include <nettle/md5.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <nettle/sha3.h>

namespace holdfast::target {
namespace {

template <class Context, std::size_t kDigestBytes>
struct Hash {
    void (*init)(Context*);
    void (*update)(Context*, std::size_t, const std::uint8_t*);
    void (*digest)(Context*, std::size_t, std::uint8_t*);

    [[nodiscard]] Octets over(std::uint8_t identifier, std::string_view secret,
                              const Octets& challenge) const {
        Context context;
        init(&context);
        update(&context, 1, &identifier);
        const Octets secret_octets(secret.begin(), secret.end());
        update(&context, secret_octets.size(), secret_octets.data());
        update(&context, challenge.size(), challenge.data());
        Octets out(kDigestBytes);
        digest(&context, out.size(), out.data());
        return out;
    }
};

}  // namespace

std::optional<Octets> chap_response(int algorithm, std::uint8_t identifier, std::string_view secret,
                                    const Octets& challenge) {
    switch (algorithm) {
    case kChapMd5:
        return Hash<md5_ctx, MD5_DIGEST_SIZE>{md5_init, md5_update, md5_digest}.over(
            identifier, secret, challenge);
    case kChapSha1:
        return Hash<sha1_ctx, SHA1_DIGEST_SIZE>{sha1_init, sha1_update, sha1_digest}.over(
            identifier, secret, challenge);
    case kChapSha256:
        return Hash<sha256_ctx, SHA256_DIGEST_SIZE>{sha256_init, sha256_update, sha256_digest}.over(
            identifier, secret, challenge);
    case kChapSha3:
        return Hash<sha3_256_ctx, SHA3_256_DIGEST_SIZE>{sha3_256_init, sha3_256_update,
                                                        sha3_256_digest}
            .over(identifier, secret, challenge);
    default: return {};
    }
}

}  // namespace holdfast::target
