#include "daemon/client/reserved_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include "daemon/io/reserved_path.h"

namespace holdfast::daemon {

namespace {

using netpath::classifier::Classifier;
using netpath::classifier::LoadFailure;
using netpath::classifier::LoadStep;

Failure failure_of_route(Errno error) {
    if (error == Errno{EOPNOTSUPP})
        return {.code = ExitCode::Usage,
                .sentence = "the target is on this host; use path = \"kernel\""};
    return {.code = ExitCode::Unreachable,
            .sentence = fmt::format("no Ethernet route to the portal: {}; use path = \"kernel\"",
                                    error.text())};
}

Failure failure_of_load(const LoadFailure& failure) {
    if (failure.error == Errno{EPERM})
        return {.code = ExitCode::NotPermitted,
                .sentence = "path = \"xdp\" needs root, or use path = \"kernel\""};
    if (failure.step == LoadStep::Attach && failure.error == Errno{EBUSY})
        return {.code = ExitCode::Exists,
                .sentence =
                    "another XDP program is attached to the interface; remove it, or use "
                    "path = \"kernel\""};
    return {.code = ExitCode::Failed,
            .sentence = fmt::format("the classifier cannot be attached: {}; use path = \"kernel\"",
                                    failure.error.text())};
}

OrFailure<Classifier> reserve(DriverConfig& config) {
    auto path = find_reserved_path(config.session, config.limits, config.tcp);
    if (!path) return std::unexpected{failure_of_route(path.error())};
    auto loaded =
        netpath::classifier::load_classifier({.interface_index = path->routes[0].interface_index,
                                              .mode = netpath::classifier::XdpWish::Any});
    if (!loaded) return std::unexpected{failure_of_load(loaded.error())};
    path->table_fd = loaded->shared.get();
    path->sockets_fd = loaded->sockets.get();
    path->owner = netpath::classifier::FlowOwner{static_cast<std::uint32_t>(::getpid())};
    config.reserved = *path;
    config.limits.transmit_pieces = kReservedTransmitPieces;
    return std::move(*loaded);
}

}  // namespace

OrFailure<std::optional<Classifier>> choose_path(NetworkPath wish, bool demands_zero_copy,
                                                 DriverConfig& config) {
    if (demands_zero_copy && wish != NetworkPath::Xdp)
        return fail(ExitCode::Usage, "--zero-copy goes with --set path=xdp");
    if (wish == NetworkPath::Kernel) return std::nullopt;
    auto reserved = reserve(config);
    if (reserved) {
        config.reserved->demands_zero_copy = demands_zero_copy;
        return std::optional{std::move(*reserved)};
    }
    if (wish == NetworkPath::Auto) return std::nullopt;
    return std::unexpected{reserved.error()};
}

}  // namespace holdfast::daemon
