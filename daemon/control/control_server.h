/// The control process: one loop over the control socket, its clients, the supervisor and the I/O
/// processes. May block in name resolution and file access; nothing that serves requests waits for
/// it.
///
/// Limits: client_limits.h; a client has one answer waiting at a time: while it does not read that,
/// nothing more of it is worked on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/control/attachment_table.h"
#include "daemon/control/client_limits.h"
#include "daemon/control/config.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

struct ServerOptions {
    int supervisor = -1;  ///< Inherited; not owned.
    std::string link_directory{kLinkDirectory};
    int loader = -1;             ///< Socket of holdfast-loader; inherited, not owned. -1: none.
    std::int32_t maker_pid = 0;  ///< Of the process that started us; 0: not known.
    std::string user_note{};     ///< ControlUser::note.
};

/// Listens on a filesystem socket: who may do what is decided by the peer's credentials. Everybody
/// may connect (mode 0666); with a `group` only its members may, and root (0660). Replaces a socket
/// that nobody serves any more.
[[nodiscard]] OrFailure<UniqueFd> listen_on(const std::string& path, const std::string& group = {});

/// See the file comment.
class ControlServer {
public:
    ControlServer(const Config& config, UniqueFd listening, const ServerOptions& options);

    /// Runs until SIGTERM, or until the supervisor has gone. False: a call that must work failed.
    [[nodiscard]] bool run();

private:
    struct Client {
        UniqueFd socket;
        std::uint32_t user = 0;
        bool is_root = false;
        FrameReader frames{kRequestBytesMax};
        RequestRate rate;
        Instant resumes_at = Instant::never();  ///< It asked too often: the next request's turn.
        std::string unsent;
        bool is_done = false;
    };
    struct Source;

    [[nodiscard]] std::vector<Source> sources() const;
    void serve(const Source& source, short events);
    void accept_client();
    void read_client(ClientId id, Client& client);
    void write_client(Client& client);
    void work_off(ClientId id);
    void resume_clients(Instant now);
    [[nodiscard]] Instant next_resume() const;
    void answer(ClientId id, const OrFailure<Json>& answer);
    void handle(ClientId id, const Client& client, const std::string& body);
    [[nodiscard]] OrFailure<Json> handle_reading(const Request& request);
    [[nodiscard]] OrFailure<void> handle_changing(ClientId id, const Request& request);
    [[nodiscard]] OrFailure<void> handle_attach(ClientId id, const Request& request);
    [[nodiscard]] OrFailure<void> handle_detach(ClientId id, const Request& request);
    [[nodiscard]] Json list() const;
    [[nodiscard]] OrFailure<Json> status(const Request& request) const;
    [[nodiscard]] Json security(std::string_view name) const;
    [[nodiscard]] OrFailure<Json> trace(const Request& request) const;
    [[nodiscard]] OrFailure<Json> pressure(const Request& request) const;
    [[nodiscard]] OrFailure<Json> udev_info(const Request& request) const;
    [[nodiscard]] Json status_of(const Attachment& attachment) const;
    [[nodiscard]] std::string metrics() const;
    void read_supervisor();
    void read_io(AttachmentId id);
    void send_answers();

    const Config& config_;
    UniqueFd listening_;
    UniqueFd signals_;
    int supervisor_;
    LogDrain log_;
    AttachmentTable table_;
    std::map<ClientId, Client> clients_;
    ClientId last_client_ = 0;
    std::uint32_t owner_;  // Who started us, before we became somebody else.
    std::int32_t maker_pid_;
    std::string user_note_;
    bool is_stopping_ = false;
};

}  // namespace holdfast::daemon
